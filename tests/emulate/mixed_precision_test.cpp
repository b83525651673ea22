// Training in bfloat16 on a device: activations have 16 bits, parameters, gradients and the loss 32.

#include <cmath>
#include <string>

#include "mica/autograd/autocast.h"
#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/auto_model.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

const Device kDevice{DeviceType::cuda, 0};

struct Trained {
  Model model;
  ModelOutput output;
};

// One backward pass of a model with the weights that the seed gives.
Trained trained(const std::string& config, Task task, DType dtype, std::optional<DType> autocast) {
  manual_seed(3);
  Model model = Model::from_config(AutoConfig::from_json(config, "test"), task, {.dtype = dtype, .device = kDevice});
  model.train();
  ModelInputs inputs;
  inputs.input_ids = Tensor::from<int64_t>({5, 17, 9, 30, 21, 8, 11, 14, 7, 19, 3, 3}, {2, 6});
  inputs.labels = task == Task::causal_lm ? inputs.input_ids : Tensor::from<int64_t>({0, 1});
  const Autocast scope(autocast);
  ModelOutput output = model(inputs);
  backward(output.loss);
  return {std::move(model), std::move(output)};
}

double norm(const std::vector<double>& x) {
  double squares = 0;
  for (const double each : x) squares += each * each;
  return std::sqrt(squares);
}

// Both ways of asking for bfloat16 against float32. A bfloat16 is off by up to 2^-9 of itself; a layer rounds some ten
// times in each direction, and errors add like independent ones: sqrt(2 layers * 20) * 2^-9 is 0.013 of a gradient,
// three times which no gradient's norm exceeds, but of those that are differences of larger ones (keys' biases are none
// at all, two classes' biases nearly): a hundredth of the largest is for them.
void check(const std::string& config, Task task) {
  const Trained exact = trained(config, task, DType::float32, std::nullopt);
  double largest = 0;
  for (const auto& [name, parameter] : exact.model.parameters())
    largest = std::max(largest, norm(parameter.grad().to_vector<double>()));
  for (const bool by_autocast : {false, true}) {
    const Trained narrow = trained(config, task, by_autocast ? DType::float32 : DType::bfloat16,
                                   by_autocast ? std::optional(DType::bfloat16) : std::nullopt);
    EXPECT_EQ(narrow.output.logits.dtype(), DType::bfloat16);
    EXPECT_EQ(narrow.output.loss.dtype(), DType::float32);
    EXPECT_NEAR(narrow.output.loss.item<double>(), exact.output.loss.item<double>(), 0.02);
    for (size_t i = 0; i < exact.model.parameters().size(); ++i) {
      const auto& [name, parameter] = narrow.model.parameters()[i];
      ASSERT_TRUE(parameter.grad().defined()) << name;
      EXPECT_EQ(parameter.dtype(), DType::float32) << name;
      EXPECT_EQ(parameter.grad().dtype(), DType::float32) << name;
      const std::vector<double> want = exact.model.parameters()[i].second.grad().to_vector<double>();
      std::vector<double> off = parameter.grad().to_vector<double>();
      for (size_t k = 0; k < off.size(); ++k) off[k] -= want[k];
      EXPECT_LE(norm(off), 0.04 * norm(want) + 0.01 * largest) << name;
    }
  }
}

TEST(MixedPrecision, OfBert) {
  check(R"({"model_type": "bert", "vocab_size": 40, "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2,
            "intermediate_size": 64, "max_position_embeddings": 16, "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0})",
        Task::sequence_classification);
}

TEST(MixedPrecision, OfGpt2) {
  check(R"({"model_type": "gpt2", "vocab_size": 40, "n_embd": 32, "n_head": 2, "n_positions": 16, "n_layer": 2,
            "attn_pdrop": 0})",
        Task::causal_lm);
}

TEST(MixedPrecision, OfLlama) {
  check(R"({"model_type": "llama", "vocab_size": 40, "hidden_size": 32, "num_attention_heads": 4,
            "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 16})",
        Task::causal_lm);
}

}  // namespace
}  // namespace mica::cuda
