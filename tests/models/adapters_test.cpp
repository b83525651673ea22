// Low-rank adapters: what they compute, what learns, and folders as PEFT writes them.

#include <fstream>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/auto/lora.h"
#include "mica/tensor/safetensors.h"
#include "mica/tests/support/golden.h"
#include "mica/tests/support/tiny_model.h"

namespace mica {
namespace {

Model bert(Task task = Task::sequence_classification) {
  Config config = AutoConfig::for_model("bert");
  config.vocab_size = 40;
  config.hidden_size = 16;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.intermediate_size = 20;
  config.max_position_embeddings = 20;
  config.hidden_dropout_prob = 0.0;
  config.attention_probs_dropout_prob = 0.0;
  Model model = Model::from_config(config, task, {.device = test::test_device()});
  golden::fill_by_rule(model);
  return model;
}

Model gpt2() {
  Config config = AutoConfig::for_model("gpt2");
  config.vocab_size = 40;
  config.set("n_embd", 16);
  config.set("n_layer", 2);
  config.set("n_head", 2);
  config.set("n_positions", 20);
  config.set_json("bos_token_id", "1");
  config.set_json("eos_token_id", "1");
  Model model = Model::from_config(config, Task::causal_lm, {.device = test::test_device()});
  golden::fill_by_rule(model);
  return model;
}

ModelInputs inputs() {
  ModelInputs batch;
  batch.input_ids = Tensor::from(std::vector<int64_t>{2, 7, 9, 11, 5, 30}, {2, 3});
  return batch;
}

std::vector<float> logits(const Model& model) {
  const NoGrad no_grad;
  return model(inputs()).logits.to_vector<float>();
}

void fill(const Model& model, double value) {
  for (const auto& [name, tensor] : adapter_parameters(model)) {
    std::vector<float> values(static_cast<size_t>(tensor.numel()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(value * golden::uniform(name, static_cast<long long>(i)));
    }
    tensor.detach().copy_(Tensor::from(values, tensor.shape()));
  }
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, double bound) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], bound) << i;
}

TEST(Adapters, ChangeNothingUntilTheyLearnAndOnlyTheyDo) {
  const Model model = bert();
  const std::vector<float> before = logits(model);
  const std::vector<std::string> modules = add_adapter(model, {.r = 4, .lora_alpha = 8});
  EXPECT_EQ(modules, (std::vector<std::string>{
                         "bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.0.attention.self.value",
                         "bert.encoder.layer.1.attention.self.query", "bert.encoder.layer.1.attention.self.value"}));
  expect_near(logits(model), before, 1e-5);
  ModelInputs batch = inputs();
  batch.labels = Tensor::from(std::vector<int64_t>{0, 1});
  backward(model(batch).loss);
  for (const auto& [name, tensor] : adapter_parameters(model)) EXPECT_TRUE(tensor.grad().defined()) << name;
  for (const auto& [name, tensor] : model.parameters()) {
    EXPECT_EQ(tensor.grad().defined(), name.starts_with("classifier.")) << name;
  }
  model.zero_grad();
  for (const auto& [name, tensor] : adapter_parameters(model)) EXPECT_FALSE(tensor.grad().defined()) << name;
}

TEST(Adapters, MergedOnesGiveTheSameNumbers) {
  for (const bool decoder : {false, true}) {
    const Model model = decoder ? gpt2() : bert();
    const std::vector<float> plain = logits(model);
    const std::vector<std::string> all{"all-linear"};
    add_adapter(model, {.r = 3, .lora_alpha = 6, .target_modules = all, .use_rslora = true});
    fill(model, 0.3);
    const std::vector<float> adapted = logits(model);
    double moved = 0;
    for (size_t i = 0; i < plain.size(); ++i) moved = std::max<double>(moved, std::abs(plain[i] - adapted[i]));
    EXPECT_GT(moved, 1e-2);
    merge_adapters(model);
    EXPECT_FALSE(has_adapters(model));
    expect_near(logits(model), adapted, 2e-5);
  }
}

// Experts with adapters are not multiplied all at once, those that were merged are again.
TEST(Adapters, OfExperts) {
  Config config = AutoConfig::for_model("mixtral");
  config.vocab_size = 40;
  config.hidden_size = 16;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.intermediate_size = 12;
  config.set("num_key_value_heads", 1);
  config.set("num_local_experts", 3);
  const Model model = Model::from_config(config, Task::causal_lm, {.device = test::test_device()});
  golden::fill_by_rule(model);
  const std::vector<float> plain = logits(model);
  add_adapter(model, {.r = 3, .lora_alpha = 6, .target_modules = {"w1", "w2"}});
  fill(model, 0.3);
  const std::vector<float> adapted = logits(model);
  double moved = 0;
  for (size_t i = 0; i < plain.size(); ++i) moved = std::max<double>(moved, std::abs(plain[i] - adapted[i]));
  EXPECT_GT(moved, 1e-3);
  merge_adapters(model);
  expect_near(logits(model), adapted, 2e-5);
}

TEST(Adapters, SeveralOnOneModel) {
  const Model model = bert();
  const std::vector<float> plain = logits(model);
  add_adapter(model, {.r = 2}, "one");
  fill(model, 0.5);
  const std::vector<float> one = logits(model);
  add_adapter(model, {.r = 3, .target_modules = {"dense"}}, "two");
  fill(model, 0.5);
  const std::vector<float> two = logits(model);
  set_active_adapters(model, {"one"});
  EXPECT_EQ(logits(model), one);
  set_active_adapters(model, {});
  EXPECT_EQ(logits(model), plain);
  set_active_adapters(model, {"one", "two"});
  EXPECT_NE(logits(model), one);
  EXPECT_NE(logits(model), two);
  EXPECT_EQ(adapter_names(model), (std::vector<std::string>{"one", "two"}));
  EXPECT_THROW(set_active_adapters(model, {"three"}), Error);
  EXPECT_THROW(add_adapter(model, {}, "one"), Error);
}

TEST(Adapters, GoThroughFolders) {
  const tiny::TemporaryFolder folder;
  const Model model = bert();
  add_adapter(model,
              {.r = 4, .lora_alpha = 12, .lora_dropout = 0.1, .target_modules = {R"(.*\.layer\.1\..*\.(query|key))"}});
  fill(model, 0.4);
  for (const auto& [name, tensor] : model.parameters()) {
    if (name == "classifier.weight") tensor.detach().fill_(0.25);
  }
  save_adapter(model, folder.path(), "default", "base");
  const Json config = read_json_file(folder / "adapter_config.json");
  EXPECT_EQ(config.at("peft_type"), "LORA");
  EXPECT_EQ(config.at("r"), 4);
  EXPECT_EQ(config.at("task_type"), "SEQ_CLS");
  EXPECT_EQ(config.at("base_model_name_or_path"), "base");
  const SafeTensors tensors = SafeTensors::open(folder / "adapter_model.safetensors");
  EXPECT_NE(tensors.find("base_model.model.bert.encoder.layer.1.attention.self.key.lora_A.weight"), nullptr);
  EXPECT_NE(tensors.find("base_model.model.classifier.weight"), nullptr);
  EXPECT_EQ(tensors.entries().size(), 6U);

  const Model other = bert();
  load_adapter(other, folder.path(), "loaded");
  EXPECT_EQ(logits(other), logits(model));
  EXPECT_EQ(adapter_base_model(folder.path()), "base");

  // Ranks and alphas of single modules, by the end of their names or by an expression.
  Json patterns = config;
  patterns["r"] = 9;
  patterns["lora_alpha"] = 1;
  patterns["rank_pattern"] = {{"layer.1.*(query|key)", 4}};
  patterns["alpha_pattern"] = {{"self.key", 12}, {"^bert.*query", 12}};
  write_file_atomically(folder / "adapter_config.json", dump_json(patterns));
  const Model by_pattern = bert();
  load_adapter(by_pattern, folder.path());
  EXPECT_EQ(logits(by_pattern), logits(model));

  const auto refused = [&](const std::string& key, const std::string& value) {
    Json changed = config;
    changed[key] = parse_json(value, "value");
    write_file_atomically(folder / "adapter_config.json", dump_json(changed));
    const Model fresh = bert();
    try {
      load_adapter(fresh, folder.path());
    } catch (const Error&) {
      return !has_adapters(fresh);
    }
    return false;
  };
  EXPECT_TRUE(refused("peft_type", "\"IA3\""));
  EXPECT_TRUE(refused("use_dora", "true"));
  EXPECT_TRUE(refused("r", "5"));
  EXPECT_TRUE(refused("r", "-1"));
  EXPECT_TRUE(refused("bias", "\"all\""));
  EXPECT_TRUE(refused("rank_pattern", "{\"key\": 3}"));
  EXPECT_TRUE(refused("rank_pattern", "{\"key\": \"2\"}"));
  EXPECT_TRUE(refused("alora_invocation_tokens", "[5]"));
  EXPECT_TRUE(refused("layer_replication", "[[0, 2]]"));
  EXPECT_TRUE(refused("init_lora_weights", "\"pissa_niter_16\""));
  EXPECT_FALSE(refused("init_lora_weights", "\"gaussian\""));
  write_file_atomically(folder / "adapter_config.json", dump_json(config));
  EXPECT_THROW(load_adapter(gpt2(), folder.path()), Error);
}

TEST(Adapters, RefuseTargetsThatFitNothing) {
  EXPECT_THROW(add_adapter(bert(), {.target_modules = {"q_proj"}}), Error);
  EXPECT_THROW(add_adapter(bert(), {.target_modules = {"(["}}), Error);
  EXPECT_THROW(add_adapter(bert(), {.r = 0}), Error);
  EXPECT_THROW(add_adapter(bert(), {.lora_dropout = 1.5}), Error);
}

// An adapter's folder opens like a model: the base model with it.
TEST(Adapters, FoldersOpenWithTheirBaseModel) {
  const tiny::TemporaryFolder folder;
  const Model model = bert();
  model.save_pretrained(folder / "base");
  add_adapter(model, {.r = 2});
  fill(model, 0.5);
  save_adapter(model, folder / "adapter", "default", folder / "base");
  const Model opened = AutoModelForSequenceClassification::from_pretrained(folder / "adapter");
  EXPECT_EQ(logits(opened), logits(model));
}

}  // namespace
}  // namespace mica
