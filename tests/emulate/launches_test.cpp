// How many kernels a transformer layer starts: on a GPU each costs some microseconds whatever it does. What passes by
// is done on the way: activations, dropout, residuals, norms, the sums of biases' gradients, gradients added to others.

#include <string>
#include <vector>

#include "mica/autograd/tape.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/generation/model_session.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

struct Launches {
  int64_t forward = 0, training_forward = 0, backward = 0;
};

Launches count(const std::string& config, Task task) {
  Model model = Model::from_config(AutoConfig::from_json(config, "test"), task, {.device = {DeviceType::cuda, 0}});
  ModelInputs inputs;
  inputs.input_ids = Tensor::from<int64_t>({5, 17, 9, 30, 21, 8, 11, 14, 7, 19, 3, 3}, {2, 6});
  Launches result;
  {
    const NoGrad no_grad;
    for (int i = 0; i < 4; ++i) static_cast<void>(model(inputs));  // weights are packed by then
    const int64_t before = launch_count();
    static_cast<void>(model(inputs));
    result.forward = launch_count() - before;
  }
  inputs.labels = task == Task::causal_lm ? inputs.input_ids : Tensor::from<int64_t>({0, 1});
  model.train();
  backward(model(inputs).loss);  // the parameters of layers with one input lie side by side by then
  model.zero_grad();
  int64_t before = launch_count();
  const Tensor loss = model(inputs).loss;
  result.training_forward = launch_count() - before;
  before = launch_count();
  backward(loss);
  result.backward = launch_count() - before;
  return result;
}

// Of one layer: the difference of models of two and of four, halved.
Launches of_layer(const std::string& before, const std::string& after, Task task) {
  const Launches two = count(before + "2" + after, task), four = count(before + "4" + after, task);
  return {(four.forward - two.forward) / 2, (four.training_forward - two.training_forward) / 2,
          (four.backward - two.backward) / 2};
}

TEST(Launches, OfABertLayer) {
  const Launches layer = of_layer(
      R"({"model_type": "bert", "vocab_size": 40, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64,
          "max_position_embeddings": 16, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
          "num_hidden_layers": )",
      "}", Task::sequence_classification);
  RecordProperty("forward", std::to_string(layer.forward));
  RecordProperty("training_forward", std::to_string(layer.training_forward));
  RecordProperty("backward", std::to_string(layer.backward));
  EXPECT_LE(layer.forward, 8);
  EXPECT_LE(layer.training_forward, 8);
  EXPECT_LE(layer.backward, 14);
}

TEST(Launches, OfAGpt2Layer) {
  const Launches layer =
      of_layer(R"({"model_type": "gpt2", "vocab_size": 40, "n_embd": 32, "n_head": 2, "n_positions": 16, "n_layer": )",
               "}", Task::causal_lm);
  RecordProperty("forward", std::to_string(layer.forward));
  RecordProperty("training_forward", std::to_string(layer.training_forward));
  RecordProperty("backward", std::to_string(layer.backward));
  EXPECT_LE(layer.forward, 8);
  EXPECT_LE(layer.training_forward, 8);
  EXPECT_LE(layer.backward, 14);
}

// A step of decoding in the ordinary way, one token of one text.
int64_t count_step(const std::string& config) {
  const Model model =
      Model::from_config(AutoConfig::from_json(config, "test"), Task::causal_lm, {.device = {DeviceType::cuda, 0}});
  ModelSession session(model, {}, 1, 20);
  const std::vector<RowDraw> draws(1);
  int64_t before = 0;
  const std::vector<std::vector<std::vector<int64_t>>> calls{{{5, 17, 9}}, {{7}}, {{8}}};
  for (const auto& texts : calls) {
    before = launch_count();
    static_cast<void>(session.append_and_choose(texts, {}, draws));
  }
  return launch_count() - before;
}

int64_t step_of_layer(const std::string& before, const std::string& after) {
  return (count_step(before + "4" + after) - count_step(before + "2" + after)) / 2;
}

// Norms of queries and keys, rotary positions and the way into the cache are one kernel.
TEST(Launches, OfALlamaLayer) {
  const std::string config = R"("vocab_size": 40, "hidden_size": 16, "num_attention_heads": 2, "head_dim": 8,
      "num_key_value_heads": 1, "intermediate_size": 8, "max_position_embeddings": 32, "num_hidden_layers": )";
  for (const char* type : {"llama", "qwen3"}) {
    const std::string before = std::string(R"({"model_type": ")") + type + "\", " + config;
    const Launches layer = of_layer(before, "}", Task::causal_lm);
    EXPECT_LE(layer.forward, 10) << type;
    EXPECT_LE(step_of_layer(before, "}"), 13) << type;
  }
}

// The routing is a handful of kernels, and so are all experts.
TEST(Launches, OfAMixtureOfExperts) {
  const Launches layer = of_layer(
      R"({"model_type": "mixtral", "vocab_size": 40, "hidden_size": 16, "num_attention_heads": 1, "num_key_value_heads": 1,
          "intermediate_size": 8, "max_position_embeddings": 16, "num_experts_per_tok": 2, "num_local_experts": 6,
          "num_hidden_layers": )",
      "}", Task::causal_lm);
  RecordProperty("forward", std::to_string(layer.forward));
  RecordProperty("training_forward", std::to_string(layer.training_forward));
  RecordProperty("backward", std::to_string(layer.backward));
  EXPECT_LE(layer.forward, 19);
  EXPECT_LE(layer.training_forward, 21);
  EXPECT_LE(layer.backward, 36);
}

}  // namespace
}  // namespace mica::cuda
