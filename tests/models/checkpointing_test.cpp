// Gradient checkpointing changes no bit: encoders, decoders and pairs, with dropout, relative biases and
// cross-attention.

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"
#include "mica/tests/support/guarded_device.h"

namespace mica {
namespace {

struct Case {
  const char* config;
  Task task;
};

constexpr Case kCases[] = {
    {R"({"model_type": "bert", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
         "intermediate_size": 24, "hidden_act": "gelu", "max_position_embeddings": 32, "type_vocab_size": 2,
         "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1})",
     Task::masked_lm},
    {R"({"model_type": "gpt2", "vocab_size": 50, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 32,
         "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "resid_pdrop": 0.1, "embd_pdrop": 0.1,
         "attn_pdrop": 0.1})",
     Task::causal_lm},
    {R"({"model_type": "t5", "vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2,
         "relative_attention_num_buckets": 8, "dropout_rate": 0.1, "layer_norm_epsilon": 1e-6,
         "feed_forward_proj": "relu", "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0})",
     Task::seq2seq_lm},
    {R"({"model_type": "mixtral", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
         "num_key_value_heads": 1, "intermediate_size": 24, "num_local_experts": 4, "attention_dropout": 0.1,
         "output_router_logits": true, "router_aux_loss_coef": 0.5})",
     Task::causal_lm},
};

TEST(GradientCheckpointing, GivesTheBitsOfTheWholeTape) {
  for (const Case& c : kCases) {
    const Config config = AutoConfig::from_json(c.config);
    SCOPED_TRACE(config.model_type.value());
    manual_seed(5);
    const Model model = Model::from_config(config, c.task, {.device = test::test_device()});
    ModelInputs inputs;
    inputs.input_ids = Tensor::from<int64_t>({3, 7, 9, 2, 8, 4, 11, 12, 5, 6}, {2, 5});
    inputs.labels = inputs.input_ids;
    model.train();
    std::vector<std::vector<float>> gradients[2];
    float losses[2];
    for (const bool on : {false, true}) {
      model.gradient_checkpointing_enable(on);
      model.zero_grad();
      manual_seed(6);
      const Tensor loss = model(inputs).loss;  // the rest of the output is gone when the layers run again
      losses[on ? 1 : 0] = loss.item<float>();
      backward(loss);
      for (const auto& [name, parameter] : model.parameters()) {
        gradients[on ? 1 : 0].push_back(parameter.grad().defined() ? parameter.grad().to_vector<float>()
                                                                   : std::vector<float>());
      }
    }
    EXPECT_EQ(losses[0], losses[1]);
    ASSERT_EQ(gradients[0].size(), gradients[1].size());
    for (size_t i = 0; i < gradients[0].size(); ++i)
      EXPECT_EQ(gradients[0][i], gradients[1][i]) << model.parameters()[i].first;
  }
}

// Units: a tensor [rows, hidden size]. On the tape a layer keeps its input, queries, keys, values, their mix, two sums
// before norms, a norm's result, and the inner layer before its activation: 8 + 4. A checkpoint keeps the input; one
// layer at a time is whole, with the gradients in flight beside it.
TEST(GradientCheckpointing, KeepsTheInputsOfLayersAlone) {
  constexpr int64_t kLayers = 8, kHidden = 32, kBatch = 16, kTokens = 64;
  constexpr int64_t kUnit = kBatch * kTokens * kHidden * 4;
  const Config config = AutoConfig::from_json(
      R"({"model_type": "bert", "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 8, "num_attention_heads": 2,
          "intermediate_size": 128, "hidden_act": "gelu", "max_position_embeddings": 64, "type_vocab_size": 2,
          "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "num_labels": 2})");
  manual_seed(5);
  const Model model = Model::from_config(config, Task::sequence_classification);
  auto& memory = dynamic_cast<CpuMemory&>(backend(Device{}).memory());
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(std::vector<int64_t>(kBatch * kTokens, 7), {kBatch, kTokens});
  inputs.labels = Tensor::from(std::vector<int64_t>(kBatch, 1));
  model.train();
  int64_t gradients = 0;
  for (const auto& [name, parameter] : model.parameters()) gradients += parameter.numel() * 4;
  double most[2], kept[2];
  for (const bool on : {false, true}) {
    model.gradient_checkpointing_enable(on);
    model.zero_grad();
    const int64_t before = memory.used();
    memory.watch();
    {
      const Tensor loss = model(inputs).loss;
      kept[on ? 1 : 0] = static_cast<double>(memory.used() - before) / kUnit;
      backward(loss);
    }
    most[on ? 1 : 0] = static_cast<double>(memory.most_used() - before - gradients) / kUnit;
  }
  // Statistics of norms and softmaxes are a tenth of a unit each.
  EXPECT_LT(kept[0], 12 * kLayers + 0.5 * kLayers + 3);
  EXPECT_GT(kept[0], 12 * kLayers);
  EXPECT_LT(kept[1], kLayers + 3);
  EXPECT_LT(most[0], 12.5 * kLayers + 14);
  EXPECT_LT(most[1], kLayers + 26);
}

}  // namespace
}  // namespace mica
