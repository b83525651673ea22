// Keys of a config that mean less, or something else, than their names say.

#include "mica/models/families/families.h"

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/models/auto/auto_config.h"

namespace mica::families {
namespace {

TEST(Families, GemmasGeluIsTheApproximationAndItsSuccessorsIsNot) {
  const auto activation = [](const StackSpec& spec) { return spec.layers.at(0).mlp.activation; };
  const Config first =
      AutoConfig::from_json(R"({"model_type": "gemma", "hidden_act": "gelu", "hidden_activation": "relu"})");
  EXPECT_EQ(activation(gemma(first)), Activation::gelu_tanh);
  const Config second = AutoConfig::from_json(R"({"model_type": "gemma2", "hidden_activation": "gelu"})");
  EXPECT_EQ(activation(gemma2(second)), Activation::gelu);
  const Config other = AutoConfig::from_json(R"({"model_type": "gemma", "hidden_act": "silu"})");
  EXPECT_EQ(activation(gemma(other)), Activation::silu);
}

TEST(Families, Gemma3CapsNoScores) {
  const Config config = AutoConfig::from_json(R"({"model_type": "gemma3_text", "attn_logit_softcapping": 2.0})");
  EXPECT_EQ(gemma3_text(config).layers.at(0).attention.softcap, 0);
  EXPECT_EQ(gemma2(config).layers.at(0).attention.softcap, 2);
}

TEST(Families, AWindowOfQwen3MoeIsAllLayers) {
  Config config = AutoConfig::from_json(R"({"model_type": "qwen3_moe", "sliding_window": 3, "max_window_layers": 1})");
  EXPECT_EQ(qwen3_moe(config).layers.at(1).attention.window, 0);
  config.set("use_sliding_window", true);
  EXPECT_EQ(qwen3_moe(config).layers.at(0).attention.window, 3);
}

TEST(Families, EmbeddingsOfTheirOwnSizeAreFewFamilies) {
  const auto config = [](const std::string& type) {
    return AutoConfig::from_json(R"({"model_type": ")" + type +
                                 R"(", "hidden_size": 24, "num_attention_heads": 3, "embedding_size": 16})");
  };
  EXPECT_EQ(bert(config("bert")).embedding_size, 24);
  EXPECT_EQ(roberta(config("roberta")).embedding_size, 24);
  EXPECT_EQ(albert(config("albert")).embedding_size, 16);
  EXPECT_EQ(electra(config("electra")).embedding_size, 16);
  EXPECT_EQ(deberta(config("deberta")).embedding_size, 16);
}

TEST(Families, HeadsThatDoNotTurnMayBeOdd) {
  EXPECT_EQ(gpt2(AutoConfig::from_json(R"({"model_type": "gpt2", "n_embd": 15, "n_head": 5})")).rotary.size(), 0U);
  EXPECT_EQ(bloom(AutoConfig::from_json(R"({"model_type": "bloom", "hidden_size": 8, "n_head": 8})"))
                .layers.at(0)
                .attention.rotary,
            -1);
  EXPECT_NO_THROW(t5(AutoConfig::from_json(R"({"model_type": "t5", "d_kv": 7})")));
}

TEST(Families, T5sHalvesHaveLayersOfTheirOwn) {
  const Config config = AutoConfig::from_json(R"({"model_type": "t5", "num_layers": 0, "num_decoder_layers": 3})");
  EXPECT_EQ(t5(config).encoder.layers.size(), 0U);
  EXPECT_EQ(t5(config).decoder.layers.size(), 3U);
}

TEST(Families, ElectraRefusesOtherSummaries) {
  EXPECT_NO_THROW(electra(AutoConfig::from_json(R"({"model_type": "electra"})")));
  for (const char* key : {R"("summary_type": "mean")", R"("summary_use_proj": false)"}) {
    EXPECT_THROW(electra(AutoConfig::from_json(R"({"model_type": "electra", )" + std::string(key) + "}")), Error);
  }
}

}  // namespace
}  // namespace mica::families
