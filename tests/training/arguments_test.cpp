// Arguments by name, and which of them contradict each other.

#include <set>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/training/parameter_groups.h"
#include "mica/training/training_arguments.h"

namespace mica {
namespace {

const TrainingArgumentField& field(const std::string& name) {
  for (const TrainingArgumentField& each : training_argument_fields()) {
    if (each.name == name) return each;
  }
  throw Error("no argument " + name, "test", "name one that there is");
}

TEST(TrainingArguments, AreSetByName) {
  TrainingArguments a;
  for (const auto& [name, text] :
       std::vector<std::pair<std::string, std::string>>{{"learning_rate", "5e-4"},
                                                        {"per_device_train_batch_size", "32"},
                                                        {"lr_scheduler_type", "cosine"},
                                                        {"warmup_ratio", "0.1"},
                                                        {"train_sampling_strategy", "sequential"},
                                                        {"optim", "adamw_torch_fused"},
                                                        {"bf16", "true"},
                                                        {"save_total_limit", "3"},
                                                        {"greater_is_better", "false"},
                                                        {"freeze", "embeddings,layer.0"},
                                                        {"eval_strategy", "epoch"}}) {
    field(name).set(a, text);
  }
  EXPECT_EQ(a.learning_rate, 5e-4);
  EXPECT_EQ(a.per_device_train_batch_size, 32);
  EXPECT_EQ(a.lr_scheduler_type, SchedulerType::cosine);
  EXPECT_EQ(a.warmup_ratio, 0.1);
  EXPECT_EQ(a.train_sampling_strategy, SamplingStrategy::sequential);
  EXPECT_EQ(a.optim, OptimizerType::adamw_torch);
  EXPECT_TRUE(a.bf16);
  EXPECT_EQ(a.save_total_limit, 3);
  EXPECT_EQ(a.greater_is_better, false);
  EXPECT_EQ(a.freeze, (std::vector<std::string>{"embeddings", "layer.0"}));
  EXPECT_EQ(a.eval_strategy, IntervalStrategy::epoch);
}

// Each field's own text sets it back: no two fields share a member, none is left out.
TEST(TrainingArguments, GoToTextAndBack) {
  std::set<std::string> names;
  for (const TrainingArgumentField& each : training_argument_fields()) {
    EXPECT_TRUE(names.insert(each.name).second) << each.name;
    TrainingArguments a;
    const std::string before = to_json(a);
    each.set(a, each.text(a));
    EXPECT_EQ(to_json(a), before) << each.name;
  }
  const Json json = parse_json(to_json(TrainingArguments{}), "arguments");
  EXPECT_EQ(json.size(), names.size());
  EXPECT_EQ(json.at("learning_rate"), 5e-5);
  EXPECT_EQ(json.at("lr_scheduler_type"), "linear");
  EXPECT_EQ(json.at("bf16"), false);
  EXPECT_TRUE(json.at("eval_steps").is_null());
}

TEST(TrainingArguments, RefuseWhatTheyCannotMean) {
  TrainingArguments a;
  EXPECT_THROW(field("learning_rate").set(a, "fast"), Error);
  EXPECT_THROW(field("learning_rate").set(a, "1e-3x"), Error);
  EXPECT_THROW(field("max_steps").set(a, "1.5"), Error);
  EXPECT_THROW(field("bf16").set(a, "maybe"), Error);
  EXPECT_THROW(field("optim").set(a, "adam_with_luck"), Error);
  EXPECT_THROW(field("lr_scheduler_type").set(a, "random"), Error);
  const auto refused = [](auto change) {
    TrainingArguments b;
    change(b);
    try {
      check(b);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  EXPECT_FALSE(refused([](TrainingArguments&) {}));
  EXPECT_TRUE(refused([](TrainingArguments& b) { b.per_device_train_batch_size = 0; }));
  EXPECT_TRUE(refused([](TrainingArguments& b) { b.label_smoothing_factor = 1.5; }));
  EXPECT_TRUE(refused([](TrainingArguments& b) { b.load_best_model_at_end = true; }));
  EXPECT_TRUE(refused([](TrainingArguments& b) { b.early_stopping_patience = 2; }));
  EXPECT_TRUE(refused([](TrainingArguments& b) { b.report_to = {"paper"}; }));
  EXPECT_TRUE(refused([](TrainingArguments& b) {
    b.load_best_model_at_end = true;
    b.eval_strategy = IntervalStrategy::steps;
    b.eval_steps = 300;
    b.save_steps = 500;
  }));
}

TEST(ParameterGroups, KnowBiasesNormsAndDepth) {
  for (const char* name : {"bert.encoder.layer.3.output.dense.weight", "transformer.wte.weight", "lm_head.weight",
                           "transformer.h.0.attn.c_attn.weight", "model.layers.0.self_attn.q_proj.weight"}) {
    EXPECT_TRUE(decays(name)) << name;
  }
  for (const char* name :
       {"bert.encoder.layer.3.output.dense.bias", "bert.embeddings.LayerNorm.weight", "transformer.h.0.ln_1.weight",
        "transformer.ln_f.weight", "model.layers.0.input_layernorm.weight", "model.norm.weight",
        "model.layers.1.self_attn.q_norm.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "encoder.block.0.layer.0.layer_norm.weight", "layers.0.norm1.weight"}) {
    EXPECT_FALSE(decays(name)) << name;
  }
  EXPECT_EQ(depth_of("bert.embeddings.word_embeddings.weight", 12), 0);
  EXPECT_EQ(depth_of("bert.encoder.layer.0.output.dense.weight", 12), 1);
  EXPECT_EQ(depth_of("bert.encoder.layer.11.output.dense.weight", 12), 12);
  EXPECT_EQ(depth_of("classifier.weight", 12), 13);
}

}  // namespace
}  // namespace mica
