// A loss over more logits than are held at once: the numbers of the whole, in less memory.

#include <cmath>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"

namespace mica {
namespace {

struct Result {
  float loss = 0;
  std::vector<std::vector<float>> gradients;
  double megabytes = 0;  // held at once beside the gradients
};

Result run(const Model& model, bool loss_only) {
  ModelInputs inputs;
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 34 * 32; ++i) ids.push_back(1 + i * 7919 % 69000);
  inputs.input_ids = Tensor::from(ids, {34, 32});
  inputs.labels = inputs.input_ids;
  inputs.loss_only = loss_only;
  for (const auto& [name, parameter] : model.parameters()) parameter.set_grad({});
  auto& memory = dynamic_cast<CpuMemory&>(backend(Device{}).memory());
  memory.watch();
  const int64_t before = memory.most_used();
  Result result;
  {
    const Tensor loss = model(inputs).loss;
    result.loss = loss.item<float>();
    backward(loss);
  }
  result.megabytes = static_cast<double>(memory.most_used() - before) / (1 << 20);
  for (const auto& [name, parameter] : model.parameters())
    result.gradients.push_back(parameter.grad().to_vector<float>());
  return result;
}

// 1,054 rows of 70,000 logits, 281 MB; 958 rows are held at once.
TEST(LossInChunks, GivesTheLossAndGradientsOfTheWhole) {
  manual_seed(3);
  const Model model = Model::from_config(
      AutoConfig::from_json(R"({"model_type": "gpt2", "vocab_size": 70000, "n_embd": 8, "n_layer": 1, "n_head": 2,
          "n_positions": 32, "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0})"),
      Task::causal_lm);
  const Result whole = run(model, false), chunks = run(model, true);
  // Float32 sums of a thousand terms, in another order.
  EXPECT_NEAR(chunks.loss, whole.loss, 1e-5 * whole.loss);
  ASSERT_EQ(chunks.gradients.size(), whole.gradients.size());
  for (size_t i = 0; i < whole.gradients.size(); ++i) {
    double norm = 0, difference = 0;
    for (size_t j = 0; j < whole.gradients[i].size(); ++j) {
      const double a = whole.gradients[i][j], b = chunks.gradients[i][j];
      norm += a * a;
      difference += (a - b) * (a - b);
    }
    EXPECT_LE(std::sqrt(difference), 1e-5 * std::sqrt(norm) + 1e-12) << model.parameters()[i].first;
  }
  EXPECT_LT(chunks.megabytes, whole.megabytes - 20);
}

}  // namespace
}  // namespace mica
