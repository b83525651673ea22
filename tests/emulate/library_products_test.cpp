// What the backend does around a library that multiplies: the results are those of its own kernels.

#include "mica/autograd/linear.h"
#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/emulate/libraries.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

const Device kDevice{DeviceType::cuda, 0};

// Multiplies in plain loops what cuBLASLt would: factors as they are, a bias, a residual.
class PlainLibrary final : public LibraryProducts {
 public:
  bool multiply(const Product& p, DType factors, Stream stream, void* workspace) override {
    const Finish& f = p.finish;
    if (factors != DType::float32 || p.a.dtype != factors || f.activation != Activation::none || workspace == nullptr)
      return false;
    EXPECT_FALSE(f.has_extras());
    EXPECT_TRUE(p.a_sums == nullptr && p.b_sums == nullptr);
    ++calls;
    launch("library", stream, {{1}, {32}}, run, p);
    return true;
  }
  int calls = 0;

 private:
  static void run(Product p) {
    if (thread_x() != 0) return;
    const auto at = [](const Factor& x, int64_t row, int64_t depth) {
      return static_cast<const float*>(x.data)[row * x.row_stride + depth * x.depth_stride];
    };
    for (int64_t i = 0; i < p.m; ++i) {
      for (int64_t j = 0; j < p.n; ++j) {
        float sum = 0;
        for (int64_t k = 0; k < p.k; ++k) sum += at(p.a, i, k) * at(p.b, j, k);
        if (p.finish.bias.data != nullptr)
          sum += static_cast<const float*>(p.finish.bias.data)[j * p.finish.bias.stride];
        if (p.finish.residual != nullptr)
          sum += static_cast<const float*>(p.finish.residual)[i * p.finish.residual_row + j];
        static_cast<float*>(p.finish.y)[i * p.finish.row_stride + j] = sum;
      }
    }
  }
};

class LibraryScope {
 public:
  explicit LibraryScope(LibraryProducts* library) : before_(emulate::set_library(library)) {}
  ~LibraryScope() { emulate::set_library(before_); }
  LibraryScope(const LibraryScope&) = delete;
  LibraryScope& operator=(const LibraryScope&) = delete;

 private:
  LibraryProducts* before_;
};

TEST(LibraryProducts, TrainAsTheOwnKernelsDo) {
  manual_seed(5);
  const Tensor x = uniform({24, 20}, -1, 1, DType::float32, kDevice),
               up = uniform({28, 20}, -1, 1, DType::float32, kDevice);
  const Tensor bias = uniform({28}, -1, 1, DType::float32, kDevice);
  const Tensor down = uniform({20, 28}, -1, 1, DType::float32, kDevice),
               other = uniform({20}, -1, 1, DType::float32, kDevice);
  for (const Tensor* each : {&x, &up, &bias, &down, &other}) each->set_requires_grad();
  PlainLibrary library;
  std::vector<std::vector<double>> results;
  for (LibraryProducts* used : {static_cast<LibraryProducts*>(nullptr), static_cast<LibraryProducts*>(&library)}) {
    const LibraryScope scope(used);
    for (const Tensor* each : {&x, &up, &bias, &down, &other}) each->set_grad({});
    const Tensor y = activated_linear(linear_and_activation(x, up, bias, Activation::gelu), down, other);
    backward(y, y.detach());
    results.push_back(y.detach().to_vector<double>());
    for (const Tensor* each : {&x, &up, &bias, &down, &other}) results.push_back(each->grad().to_vector<double>());
  }
  EXPECT_EQ(library.calls, 6);
  for (size_t i = 0; i < 6; ++i) {
    for (size_t k = 0; k < results[i].size(); ++k) {
      // Sums of at most 28 terms below 30, in another order.
      EXPECT_NEAR(results[i][k], results[i + 6][k], 28 * 30 * 0x1p-23) << i;
    }
  }
}

}  // namespace
}  // namespace mica::cuda
