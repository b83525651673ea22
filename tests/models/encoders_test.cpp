// Encoders that are stacks, decoders that are spelled like encoders, and pairs of the two.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/models/architectures/decoding.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/auto/table.h"
#include "mica/tests/tensor/safetensors_files.h"

namespace mica {
namespace {

constexpr const char* kSmall = R"("vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40)";

Config small(const std::string& type, const std::string& more = "") {
  return AutoConfig::from_json("{\"model_type\": \"" + type + "\", " + kSmall + more + "}");
}

Config pair(const std::string& decoder_more) {
  const auto part = [](const std::string& more) {
    return std::string("{\"model_type\": \"bert\", ") + kSmall + more + "}";
  };
  return AutoConfig::from_json(R"({"model_type": "encoder-decoder", "decoder_start_token_id": 1, "pad_token_id": 0,
      "encoder": )" + part("") +
                               ", \"decoder\": " + part(decoder_more) + "}");
}

constexpr const char* kCross = R"(, "is_decoder": true, "add_cross_attention": true)";

ModelInputs some_ids() {
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(std::vector<int64_t>{5, 7, 9, 11, 13, 2}, {2, 3});
  return inputs;
}

std::vector<float> hidden(const Model& model) {
  const NoGrad no_grad;
  return model(some_ids()).last_hidden_state.to_vector<float>();
}

std::string message(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(NomicBert, OpensConfigsOfBothSpellings) {
  manual_seed(1);
  const Model model = AutoModel::from_config(small("nomic_bert", R"(, "hidden_act": "silu")"));
  manual_seed(1);
  const Model old = AutoModel::from_config(AutoConfig::from_json(R"({"model_type": "nomic_bert", "vocab_size": 50,
      "n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 24, "n_positions": 40, "activation_function": "swiglu",
      "rotary_emb_base": 1000, "layer_norm_epsilon": 1e-12})"));
  EXPECT_EQ(hidden(model), hidden(old));
}

TEST(Esm, OpensFilesWithFrequenciesInEveryLayer) {
  const Config config = small("esm", R"(, "pad_token_id": 1, "position_embedding_type": "rotary")");
  const Model model = AutoModel::from_config(config);
  const ScratchFolder folder;
  NamedTensors tensors;
  for (const auto& [name, tensor] : model.parameters()) {
    std::string old = "esm." + name;
    for (const auto& [now, before] : {std::pair{".gamma", ".weight"}, std::pair{".beta", ".bias"}}) {
      if (old.ends_with(now)) old.replace(old.rfind(now), std::string::npos, before);
    }
    const size_t star = old.find('*');
    if (star == old.npos) {
      tensors.emplace_back(old, tensor.detach());
      continue;
    }
    const NoGrad no_grad;
    tensor.copy_(Tensor::full(tensor.shape(), 0.75));  // no frequencies that a config gives
    for (const char* layer : {"0", "1"}) tensors.emplace_back(old.replace(star, 1, layer), tensor.detach());
  }
  save_checkpoint(folder.path(), tensors);
  config.save_pretrained(folder.path());
  const WarningCatcher warnings;
  const Model again = AutoModel::from_pretrained(folder.path());
  EXPECT_TRUE(warnings.messages().empty()) << warnings.messages()[0];
  EXPECT_EQ(hidden(model), hidden(again));
}

TEST(Decoders, ThoseSpelledLikeEncodersDecodeWithACache) {
  for (const char* type : {"bert", "roberta", "electra", "megatron-bert", "bert-generation", "roberta-prelayernorm"}) {
    for (const bool is_decoder : {true, false}) {
      const Model model = AutoModelForCausalLM::from_config(small(type, is_decoder ? R"(, "is_decoder": true)" : ""));
      EXPECT_EQ(model.network().start_decoding({}, 1, 8, Device{}) != nullptr, is_decoder) << type;
    }
  }
}

TEST(Pair, IsSavedAndOpened) {
  const Model model = Model::from_config(pair(kCross), Task::seq2seq_lm);
  const ScratchFolder folder;
  model.save_pretrained(folder.path());
  const WarningCatcher warnings;
  const Model again = Model::from_pretrained(folder.path(), Task::seq2seq_lm);
  EXPECT_TRUE(warnings.messages().empty());
  ModelInputs inputs = some_ids();
  inputs.labels = inputs.input_ids;
  const NoGrad no_grad;
  EXPECT_EQ(model(inputs).logits.to_vector<float>(), again(inputs).logits.to_vector<float>());
  EXPECT_EQ(again.config().texts("architectures"), (std::vector<std::string>{"EncoderDecoderModel"}));
}

TEST(Pair, SaysWhatIsWrong) {
  const auto open = [](const Config& config) { return [config] { Model::from_config(config, Task::seq2seq_lm); }; };
  EXPECT_NE(message(open(pair(""))).find("add_cross_attention"), std::string::npos);
  EXPECT_NE(message(open(pair(R"(, "is_decoder": true)"))).find("add_cross_attention"), std::string::npos);
  EXPECT_NE(message(open(pair(R"(, "add_cross_attention": true)"))).find("is_decoder"), std::string::npos);
  EXPECT_NE(message(open(AutoConfig::from_json(R"({"model_type": "encoder-decoder", "encoder": {"model_type": "bert"},
      "decoder": {"model_type": "t5"}})")))
                .find("without cross-attention: t5"),
            std::string::npos);
  EXPECT_NE(message(open(AutoConfig::from_json(R"({"model_type": "encoder-decoder"})"))).find("\"encoder\""),
            std::string::npos);
  Model model = Model::from_config(pair(kCross), Task::seq2seq_lm);
  EXPECT_NE(message([&] { model.resize_token_embeddings(60); }).find("vocab_size"), std::string::npos);
}

}  // namespace
}  // namespace mica
