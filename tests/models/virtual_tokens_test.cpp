// Virtual tokens as adapters: what learns, several on one model, folders, what is refused. Their numbers are held
// against PEFT's in tests/training/prompt_learning_test.cpp.

#include <filesystem>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/auto/lora.h"
#include "mica/models/auto/prompt_tuning.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/model_session.h"
#include "mica/tensor/safetensors.h"
#include "mica/tests/support/golden.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

Model model_of(const std::string& text, Task task) {
  Model model = Model::from_config(AutoConfig::from_json(text, "test"), task);
  golden::fill_by_rule(model);
  return model;
}

Model bert(Task task = Task::sequence_classification) {
  return model_of(R"({"model_type": "bert", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2,
                      "num_attention_heads": 2, "intermediate_size": 20, "max_position_embeddings": 20,
                      "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})",
                  task);
}

Model mistral(int64_t window) {
  return model_of(R"({"model_type": "mistral", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2,
                      "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 20,
                      "max_position_embeddings": 64, "sliding_window": )" +
                      std::to_string(window) + "}",
                  Task::causal_lm);
}

ModelInputs inputs() {
  ModelInputs batch;
  batch.input_ids = Tensor::from<int64_t>({2, 7, 9, 11, 5, 30}, {2, 3});
  return batch;
}

std::vector<float> logits(const Model& model) {
  const NoGrad no_grad;
  return model(inputs()).logits.to_vector<float>();
}

TEST(VirtualTokens, LearnAlone) {
  for (const bool prefix : {false, true}) {
    const Model model = bert();
    const std::vector<float> plain = logits(model);
    manual_seed(3);
    if (prefix) {
      add_prefix_tuning(model, {.num_virtual_tokens = 3, .prefix_projection = true, .encoder_hidden_size = 4});
    } else {
      add_prompt_tuning(model, {.num_virtual_tokens = 3});
    }
    EXPECT_NE(logits(model), plain);
    EXPECT_EQ(adapter_parameters(model).size(), prefix ? 5U : 1U);
    ModelInputs batch = inputs();
    batch.labels = Tensor::from<int64_t>({0, 1}, {2});
    backward(model(batch).loss);
    for (const auto& [name, tensor] : adapter_parameters(model)) EXPECT_TRUE(tensor.grad().defined()) << name;
    for (const auto& [name, tensor] : model.parameters())
      EXPECT_EQ(tensor.grad().defined(), name.starts_with("classifier.")) << name;
    model.zero_grad();
    for (const auto& [name, tensor] : adapter_parameters(model)) EXPECT_FALSE(tensor.grad().defined()) << name;
    remove_adapters(model);
    EXPECT_EQ(logits(model), plain);
  }
}

TEST(VirtualTokens, OfZeroInitNoOpStillTakePositions) {
  const Model model = bert(Task::token_classification);
  add_prefix_tuning(model, {.num_virtual_tokens = 2, .init_zero = true});
  for (const auto& [name, tensor] : adapter_parameters(model)) {
    for (const float each : tensor.to_vector<float>()) EXPECT_EQ(each, 0);
  }
  EXPECT_EQ(model.max_tokens(), 18);
}

TEST(VirtualTokens, SeveralOnOneModel) {
  const Model model = bert();
  const std::vector<float> plain = logits(model);
  manual_seed(4);
  add_prompt_tuning(model, {.num_virtual_tokens = 2}, "prompt");
  const std::vector<float> prompted = logits(model);
  add_prefix_tuning(model, {.num_virtual_tokens = 4}, "prefix");
  const std::vector<float> prefixed = logits(model);
  add_adapter(model, {.r = 2}, "ranks");
  EXPECT_NE(prompted, prefixed);
  set_active_adapters(model, {"prompt"});
  EXPECT_EQ(logits(model), prompted);
  set_active_adapters(model, {"prefix"});
  EXPECT_EQ(logits(model), prefixed);
  set_active_adapters(model, {});
  EXPECT_EQ(logits(model), plain);
  EXPECT_THROW(set_active_adapters(model, {"prompt", "prefix"}), Error);
  EXPECT_THROW(set_active_adapters(model, {"ranks", "prompt"}), Error);
  EXPECT_THROW(add_prompt_tuning(model, {}, "ranks"), Error);
  set_active_adapters(model, {"prompt"});
  EXPECT_THROW(merge_adapters(model), Error);
}

// A row's results don't depend on its batch, nor on how the batch is laid out; given positions are counted from zero.
TEST(VirtualTokens, GoWithRaggedBatchesAndGivenPositions) {
  for (const bool prefix : {false, true}) {
    const Model model = bert(Task::token_classification);
    manual_seed(6);
    if (prefix) {
      add_prefix_tuning(model, {.num_virtual_tokens = 3});
    } else {
      add_prompt_tuning(model, {.num_virtual_tokens = 3});
    }
    const NoGrad no_grad;
    ModelInputs ragged;
    ragged.input_ids = Tensor::from<int64_t>({2, 7, 9, 11, 5}, {5});
    ragged.lengths = {3, 2};
    const Tensor both = model(ragged).logits;
    EXPECT_EQ(both.shape(), (Shape{5, 2}));
    ModelInputs one;
    one.input_ids = Tensor::from<int64_t>({11, 5}, {1, 2});
    const std::vector<float> alone = model(one).logits.to_vector<float>();
    EXPECT_EQ(both.slice(0, 3, 5).contiguous().to_vector<float>(), alone);
    one.position_ids = Tensor::from<int64_t>({0, 1}, {1, 2});
    EXPECT_EQ(model(one).logits.to_vector<float>(), alone);
    one.position_ids = Tensor::from<int64_t>({0, 2}, {1, 2});
    EXPECT_NE(model(one).logits.to_vector<float>(), alone);
    one.output_hidden_states = true;
    for (const Tensor& each : model(one).hidden_states) EXPECT_EQ(each.shape(), (Shape{1, 2, 16}));
  }
}

// What the cache holds, and what a whole text gives, are the same; windows forget virtual tokens as any others.
TEST(VirtualTokens, GenerationGoesOnFromThem) {
  for (const int64_t window : {4, 40}) {
    for (const bool prefix : {false, true}) {
      const Model model = mistral(window);
      manual_seed(7);
      if (prefix) {
        add_prefix_tuning(model, {.num_virtual_tokens = 3});
      } else {
        add_prompt_tuning(model, {.num_virtual_tokens = 3});
      }
      const NoGrad no_grad;
      const std::vector<std::vector<int64_t>> start{{5, 6}, {9, 3}};
      ModelSession session(model, {}, 2, 8);
      EXPECT_EQ(session.max_length(), 61);
      session.append(start, GenerationSession::Positions::last);
      Tensor last;
      for (const int64_t next : {8, 2, 30, 31}) {
        last =
            session.append(std::vector<std::vector<int64_t>>{{next}, {next + 1}}, GenerationSession::Positions::last);
      }
      ModelInputs whole;
      whole.input_ids = Tensor::from<int64_t>({5, 6, 8, 2, 30, 31, 9, 3, 9, 3, 31, 32}, {2, 6});
      const std::vector<float> wanted = model(whole).logits.select(1, 5).contiguous().to_vector<float>();
      const std::vector<float> have = last.to_vector<float>();
      ASSERT_EQ(have.size(), wanted.size());
      for (size_t i = 0; i < have.size(); ++i) EXPECT_NEAR(have[i], wanted[i], 1e-5);
      // Cut texts go on as if what was cut had never been there.
      session.truncate(0, 2);
      session.truncate(1, 2);
      const Tensor again =
          session.append(std::vector<std::vector<int64_t>>{{8}, {9}}, GenerationSession::Positions::last);
      whole.input_ids = Tensor::from<int64_t>({5, 6, 8, 9, 3, 9}, {2, 3});
      const std::vector<float> shorter = model(whole).logits.select(1, 2).contiguous().to_vector<float>();
      for (size_t i = 0; i < shorter.size(); ++i) EXPECT_NEAR(again.to_vector<float>()[i], shorter[i], 1e-5);
    }
  }
}

TEST(VirtualTokens, CheckpointedLayersGiveTheSameBits) {
  std::vector<std::vector<float>> gradients;
  for (const bool on : {false, true}) {
    const Model model = bert();
    manual_seed(8);
    add_prefix_tuning(model, {.num_virtual_tokens = 3, .prefix_projection = true});
    model.train();
    model.gradient_checkpointing_enable(on);
    ModelInputs batch = inputs();
    batch.labels = Tensor::from<int64_t>({0, 1}, {2});
    backward(model(batch).loss);
    for (const auto& [name, tensor] : adapter_parameters(model)) gradients.push_back(tensor.grad().to_vector<float>());
  }
  ASSERT_EQ(gradients.size(), 10U);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(gradients[i], gradients[i + 5]) << i;
}

TEST(VirtualTokens, FoldersThatDoNotFitAreRefused) {
  const tiny::TemporaryFolder folder;
  const Model model = bert();
  model.save_pretrained(folder / "base");
  add_prefix_tuning(model, {.num_virtual_tokens = 3});
  save_adapter(model, folder / "adapter", "default", folder / "base");
  const Json config = read_json_file(folder / "adapter/adapter_config.json");
  const Model opened = AutoModelForSequenceClassification::from_pretrained(folder / "adapter");
  EXPECT_EQ(logits(opened), logits(model));
  const auto refused = [&](const std::string& key, const std::string& value) {
    Json changed = config;
    changed[key] = parse_json(value, "value");
    write_file_atomically(folder / "adapter/adapter_config.json", dump_json(changed));
    const Model fresh = bert();
    try {
      load_adapter(fresh, folder / "adapter");
    } catch (const Error&) {
      return !has_adapters(fresh);
    }
    return false;
  };
  EXPECT_TRUE(refused("peft_type", "\"IA3\""));
  EXPECT_TRUE(refused("peft_type", "\"PROMPT_TUNING\""));
  EXPECT_TRUE(refused("num_virtual_tokens", "4"));
  EXPECT_TRUE(refused("num_virtual_tokens", "-1"));
  EXPECT_TRUE(refused("num_layers", "3"));
  EXPECT_TRUE(refused("num_attention_heads", "1"));
  EXPECT_TRUE(refused("token_dim", "8"));
  EXPECT_TRUE(refused("num_transformer_submodules", "2"));
  EXPECT_TRUE(refused("task_type", "\"TOKEN_CLS\""));
  write_file_atomically(folder / "adapter/adapter_config.json", dump_json(config));
  EXPECT_THROW(load_adapter(mistral(4), folder / "adapter"), Error);
}

// PEFT saves what P-tuning's encoder makes: a prompt. Of a projection, too, it keeps the result alone.
TEST(VirtualTokens, WhatIsNoPromptToTrainIsReadAsOne) {
  const tiny::TemporaryFolder folder;
  const Model model = bert();
  add_prompt_tuning(model, {.num_virtual_tokens = 3});
  save_adapter(model, folder.path());
  Json config = read_json_file(folder / "adapter_config.json");
  config["peft_type"] = "P_TUNING";
  write_file_atomically(folder / "adapter_config.json", dump_json(config));
  const Model other = bert();
  EXPECT_THROW(load_adapter(other, folder.path(), "default", true), Error);
  load_adapter(other, folder.path());
  EXPECT_EQ(logits(other), logits(model));

  const Model projected = bert();
  add_prefix_tuning(projected, {.num_virtual_tokens = 3, .prefix_projection = true});
  save_adapter(projected, folder / "projected");
  const Model trained = bert();
  load_adapter(trained, folder / "projected", "default", true);
  EXPECT_EQ(adapter_parameters(trained).size(), 5U);
  EXPECT_EQ(logits(trained), logits(projected));
  std::filesystem::remove(folder / "projected/prompt_encoder.safetensors");
  EXPECT_THROW(load_adapter(bert(), folder / "projected", "default", true), Error);
  const Model frozen = bert();
  load_adapter(frozen, folder / "projected");
  EXPECT_EQ(logits(frozen), logits(projected));
}

TEST(VirtualTokens, StartAsWordsOfTheVocabulary) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "sequence_classification");
  const Model model = AutoModelForSequenceClassification::from_pretrained(folder.path());
  add_prompt_tuning(model, {.num_virtual_tokens = 9,
                            .prompt_tuning_init = PromptTuningInit::text,
                            .prompt_tuning_init_text = "love the city",
                            .tokenizer_name_or_path = folder.path()});
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  const BatchEncoding encoding = tokenizer("love the city");
  const auto ids = encoding.input_ids[0];
  ASSERT_LT(ids.size(), 9U);
  const Tensor prompt = adapter_parameters(model)[0].second.detach();
  for (int64_t i = 0; i < 9; ++i) {
    const int64_t id = ids[static_cast<size_t>(i) % ids.size()];
    EXPECT_EQ(prompt.select(0, i).contiguous().to_vector<float>(),
              model.network().word_embeddings().detach().select(0, id).contiguous().to_vector<float>());
  }
  EXPECT_THROW(add_prompt_tuning(model, {.prompt_tuning_init = PromptTuningInit::text}, "other"), Error);
}

TEST(VirtualTokens, RefuseWhatCannotWork) {
  EXPECT_THROW(add_prompt_tuning(bert(Task::masked_lm), {}), Error);
  EXPECT_THROW(add_prompt_tuning(bert(), {.num_virtual_tokens = 0}), Error);
  EXPECT_THROW(add_prompt_tuning(bert(), {.num_virtual_tokens = 20}), Error);
  const Model deberta = model_of(R"({"model_type": "deberta", "vocab_size": 40, "hidden_size": 16,
      "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20, "max_position_embeddings": 20})",
                                 Task::sequence_classification);
  EXPECT_THROW(add_prefix_tuning(deberta, {.num_virtual_tokens = 2}), Error);
  add_prompt_tuning(deberta, {.num_virtual_tokens = 2});
  EXPECT_EQ(logits(deberta).size(), 4U);
  const Model causal = mistral(40);
  add_prompt_tuning(causal, {.num_virtual_tokens = 2});
  ModelInputs typed = inputs();
  typed.token_type_ids = Tensor::from<int64_t>({0, 0, 1, 0, 0, 0}, {2, 3});
  EXPECT_THROW(causal(typed), Error);
  // A text that fills the model leaves no place for them.
  ModelInputs longest;
  longest.input_ids = Tensor::from(std::vector<int64_t>(20, 3), {1, 20});
  const Model model = bert();
  EXPECT_NO_THROW(model(longest));
  add_prefix_tuning(model, {.num_virtual_tokens = 1});
  EXPECT_THROW(model(longest), Error);
}

}  // namespace
}  // namespace mica
