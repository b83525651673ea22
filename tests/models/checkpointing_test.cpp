// Gradient checkpointing changes no bit: encoders, decoders and pairs, with dropout, relative biases and
// cross-attention.

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
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

}  // namespace
}  // namespace mica
