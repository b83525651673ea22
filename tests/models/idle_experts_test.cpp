// Experts that no token chose.

#include <algorithm>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"

namespace mica {
namespace {

// As in frameworks that hold the experts as one stack: optimizers move what has a gradient, if by decay and momentum
// alone.
TEST(IdleExperts, HaveGradientsOfZeros) {
  for (const char* type : {"mixtral", "qwen3_moe"}) {
    manual_seed(5);
    const Model model = Model::from_config(
        AutoConfig::from_json(R"({"model_type": ")" + std::string(type) + R"(", "vocab_size": 20, "hidden_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 8,
            "moe_intermediate_size": 8, "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 1})"),
        Task::causal_lm);
    ModelInputs inputs;
    inputs.input_ids = Tensor::from(std::vector<int64_t>{7, 7}, {1, 2});
    inputs.labels = inputs.input_ids;
    backward(model(inputs).loss);
    int idle = 0, busy = 0;
    for (const auto& [name, parameter] : model.parameters()) {
      ASSERT_TRUE(parameter.grad().defined()) << type << " " << name;
      if (name.find("experts.") == std::string::npos) continue;
      const std::vector<float> values = parameter.grad().to_vector<float>();
      const bool zeros = std::all_of(values.begin(), values.end(), [](float x) { return x == 0; });
      ++(zeros ? idle : busy);
    }
    EXPECT_GE(idle, 2 * 3) << type;  // two tokens choose two experts at most
    EXPECT_GE(busy, 3) << type;
  }
}

}  // namespace
}  // namespace mica
