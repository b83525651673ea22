// A layer of experts starts the same kernels whatever their number, and neither way waits for the host: what is
// recorded may not.

#include <vector>

#include "mica/autograd/activation.h"
#include "mica/autograd/grouped_experts.h"
#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/recording.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

constexpr Device kDevice{DeviceType::cuda, 0};
constexpr int64_t kRows = 20, kSize = 16, kInner = 8;

Tensor parameter(const Shape& shape) {
  const Tensor x = uniform(shape, -1, 1, DType::float32, kDevice);
  x.set_requires_grad();
  return x;
}

struct ExpertsLayer {
  int64_t experts;
  Tensor x, scores;
  ExpertLayers gate_up, down;

  explicit ExpertsLayer(int64_t count) : experts(count) {
    manual_seed(7);
    x = parameter({kRows, kSize});
    scores = parameter({kRows, count});
    for (int64_t i = 0; i < 2 * count; ++i) gate_up.weights.push_back(parameter({kInner, kSize}));
    for (int64_t i = 0; i < count; ++i) down.weights.push_back(parameter({kSize, kInner}));
  }
  Tensor forward() const {
    const Routing routing = choose_experts(scores, 2);
    const ExpertOrder order = order_by_expert(routing.experts, experts);
    const Tensor both = expert_linear(to_experts(x, order), order, gate_up, DType::float32);
    const Tensor inner = activate_and_multiply(both, Activation::silu);
    return from_experts(expert_linear(inner, order, down, DType::float32), routing.weights, order);
  }
};

TEST(Experts, LaunchesDoNotGrowWithTheirNumber) {
  const Tensor dy = Tensor::ones({kRows, kSize}, DType::float32, kDevice);
  for (const int64_t count : {3, 40}) {
    const ExpertsLayer layer(count);
    static_cast<void>(layer.forward());  // writes the addresses down
    int64_t before = launch_count();
    const Tensor y = layer.forward();
    // Choice, order, rows, gate and up, activation, down, sums.
    EXPECT_EQ(launch_count() - before, 7);
    before = launch_count();
    backward(y, dy);
    // Of the sums rows and weights, of down rows and weights, the activation, of gate and up rows (twice) and weights,
    // the rows' sums, the choice.
    EXPECT_EQ(launch_count() - before, 10);
  }
}

TEST(Experts, NothingWaitsForTheHost) {
  const ExpertsLayer layer(5);
  const Tensor dy = Tensor::ones({kRows, kSize}, DType::float32, kDevice);
  backward(layer.forward(), dy);
  const std::vector<float> wanted = layer.x.grad().to_vector<float>();
  const Tensor got = Tensor::zeros({kRows, kSize}, DType::float32, kDevice);
  const auto forget = [&] {
    for (const std::vector<Tensor>& all :
         {layer.gate_up.weights, layer.down.weights, std::vector<Tensor>{layer.x, layer.scores}}) {
      for (const Tensor& each : all) each.set_grad({});
    }
  };
  forget();
  const auto recording = backend(kDevice).record([&] {
    backward(layer.forward(), dy);
    got.copy_(layer.x.grad());
    forget();
  });
  for (int i = 0; i < 2; ++i) {
    recording->replay();
    EXPECT_EQ(got.to_vector<float>(), wanted);
    got.fill_(0);
  }
}

}  // namespace
}  // namespace mica::cuda
