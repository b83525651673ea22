// Prompt and prefix tuning beside PEFT (data/prompts.json): logits, greedy tokens, ten AdamW steps, the folder.

#include <cmath>

#include <gtest/gtest.h>

#include "mica/autograd/tape.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/auto/lora.h"
#include "mica/models/auto/prompt_tuning.h"
#include "mica/models/generation/generate.h"
#include "mica/tensor/safetensors.h"
#include "mica/tests/support/golden.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/training/optimizers/adamw.h"

namespace mica {
namespace {

constexpr int64_t kVirtual = 5;

const Json& cases() {
  static const Json data = read_json_file(MICA_SOURCE_DIR "/tests/training/data/prompts.json");
  return data;
}

Task task_of(const Json& which) {
  const auto golden = which.at("golden").get<std::string>();
  return task_from_name(golden.substr(0, golden.find('.')));
}

// The base model, filled by rule.
Model base_of(const Json& which) {
  Model model = Model::from_config(AutoConfig::from_json(which.at("config").dump(), "prompts.json"), task_of(which));
  golden::fill_by_rule(model);
  return model;
}

void add_to(const Model& model, const Json& which) {
  const Json& options = which.at("options");
  if (which.at("kind") == "prompt") {
    add_prompt_tuning(model, {.num_virtual_tokens = kVirtual});
  } else {
    add_prefix_tuning(model, {.num_virtual_tokens = kVirtual,
                              .prefix_projection = options.value("prefix_projection", false),
                              .encoder_hidden_size = options.value("encoder_hidden_size", 0)});
  }
  for (const auto& [name, tensor] : adapter_parameters(model)) {
    std::vector<float> values(static_cast<size_t>(tensor.numel()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(0.5 * golden::uniform(name, static_cast<long long>(i)));
    tensor.detach().copy_(Tensor::from(values, tensor.shape()));
  }
}

// As inputs_of() of generate_prompts.py.
ModelInputs inputs_of(Task task) {
  ModelInputs inputs;
  inputs.input_ids = Tensor::from<int64_t>({7, 9, 30, 4, 11, 2, 5, 17, 3, 8, 0, 0}, {2, 6});
  inputs.attention_mask = Tensor::from<int64_t>({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, {2, 6});
  if (task == Task::sequence_classification) {
    inputs.labels = Tensor::from<int64_t>({0, 1}, {2});
  } else if (task == Task::token_classification) {
    inputs.labels = Tensor::from<int64_t>({0, 1, 1, 0, 1, 0, 1, -100, 0, 1, -100, -100}, {2, 6});
  } else if (task == Task::causal_lm) {
    inputs.labels = Tensor::from<int64_t>({7, 9, 30, 4, 11, 2, 5, 17, 3, 8, -100, -100}, {2, 6});
  } else {
    inputs.labels = Tensor::from<int64_t>({9, 4, 31, 2, 6, 12, -100, -100}, {2, 4});
  }
  return inputs;
}

// The part of the logits that the file holds.
std::vector<float> kept(const Tensor& logits, Task task) {
  if (task == Task::causal_lm) return logits.select(1, 3).contiguous().to_vector<float>();
  if (task == Task::seq2seq_lm) return logits.select(1, logits.size(1) - 1).contiguous().to_vector<float>();
  return logits.contiguous().to_vector<float>();
}

std::string title(const Json& which) {
  return which.at("model_type").get<std::string>() + " " + which.at("golden").get<std::string>() + " " +
         which.at("kind").get<std::string>() + which.at("options").dump();
}

// Values of float32 summed in another order: some 1e-5 of the largest.
void expect_near(const std::vector<float>& have, const Json& wanted, double share) {
  ASSERT_EQ(have.size(), wanted.size());
  double most = 1;
  for (const Json& each : wanted) most = std::max(most, std::abs(each.get<double>()));
  for (size_t i = 0; i < have.size(); ++i) ASSERT_NEAR(have[i], wanted[i].get<double>(), share * most) << i;
}

TEST(PromptLearning, GivesPeftsLogitsOnAndOffTheTape) {
  for (const Json& which : cases()) {
    SCOPED_TRACE(title(which));
    const Model model = base_of(which);
    add_to(model, which);
    const Json& wanted = which.at("logits");
    const ModelInputs inputs = inputs_of(task_of(which));
    const Tensor taped = model(inputs).logits;
    EXPECT_EQ(taped.shape(), Shape(wanted.at("shape").get<std::vector<int64_t>>()));
    expect_near(kept(taped.detach(), task_of(which)), wanted.at("values"), 1e-5);
    const NoGrad no_grad;
    expect_near(kept(model(inputs).logits, task_of(which)), wanted.at("values"), 1e-5);
  }
}

TEST(PromptLearning, GeneratesPeftsTokens) {
  for (const Json& which : cases()) {
    if (!which.contains("generated")) continue;
    SCOPED_TRACE(title(which));
    const Model model = base_of(which);
    add_to(model, which);
    ModelInputs prompt;
    prompt.input_ids = Tensor::from<int64_t>({7, 9, 30, 4, 11, 2}, {1, 6});
    GenerationConfig config;
    config.max_new_tokens = 9;  // the last may be forced to be an end
    config.min_new_tokens = 9;
    config.do_sample = false;
    config.num_beams = 1;
    const auto wanted = which.at("generated").get<std::vector<int64_t>>();
    std::vector<int64_t> tokens = model.generate(prompt, config).tokens[0];
    ASSERT_GT(tokens.size(), wanted.size());
    tokens.pop_back();
    tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(wanted.size()));
    EXPECT_EQ(tokens, wanted);
  }
}

// Padded and ragged batches learn the same.
void learn(const Json& which, bool ragged) {
  const Task task = task_of(which);
  const Model model = base_of(which);
  add_to(model, which);
  model.train();
  ParameterGroup group{.weight_decay = 0.01};
  for (const auto& [name, tensor] : model.parameters()) {
    if (tensor.requires_grad()) group.parameters.emplace_back(name, tensor);
  }
  for (const auto& each : adapter_parameters(model)) group.parameters.push_back(each);
  EXPECT_EQ(group.parameters.size(), which.at("trained").size());
  AdamW optimizer({group}, {.learning_rate = 0.02});
  ModelInputs inputs = inputs_of(task);
  if (ragged) {
    const auto shown = [](const Tensor& values) {
      std::vector<int64_t> all = values.to_vector<int64_t>();
      all.resize(all.size() - 2);
      return Tensor::from(all);
    };
    inputs.input_ids = shown(inputs.input_ids);
    if (inputs.labels.numel() == 12) inputs.labels = shown(inputs.labels);
    inputs.attention_mask = {};
    inputs.lengths = {6, 4};
  }
  for (const Json& wanted : which.at("losses")) {
    inputs.loss_only = ragged;
    const Tensor loss = model(inputs).loss;
    ASSERT_NEAR(loss.item<double>(), wanted.get<double>(), 2e-4 * std::max(1.0, wanted.get<double>()));
    model.zero_grad();
    backward(loss);
    optimizer.step();
  }
  model.eval();
  const tiny::TemporaryFolder folder;
  save_adapter(model, folder.path());
  const SafeTensors saved = SafeTensors::open(folder / "adapter_model.safetensors");
  ASSERT_EQ(saved.entries().size(), which.at("saved").size());
  for (const auto& [name, wanted] : which.at("saved").items()) {
    const Tensor value = saved.tensor(name);
    EXPECT_EQ(value.shape(), Shape(wanted.at("shape").get<std::vector<int64_t>>()));
    double square = 0, dot = 0;
    const std::vector<float> values = value.to_vector<float>();
    for (size_t i = 0; i < values.size(); ++i) {
      square += static_cast<double>(values[i]) * values[i];
      dot += values[i] * golden::uniform(name, static_cast<long long>(i));
    }
    const double norm = wanted.at("norm").get<double>();
    EXPECT_NEAR(std::sqrt(square), norm, 1e-3 * norm) << name;
    EXPECT_NEAR(dot, wanted.at("dot").get<double>(), 1e-3 * norm) << name;
  }
  // The folder says what PEFT's says.
  const Json config = read_json_file(folder / "adapter_config.json");
  for (const auto& [key, wanted] : which.at("adapter_config").items()) {
    if (!config.contains(key) || key == "modules_to_save") continue;
    EXPECT_EQ(config.at(key), wanted) << key;
  }
  // And opens with the same results.
  const Model other = base_of(which);
  load_adapter(other, folder.path());
  const NoGrad no_grad;
  const std::vector<float> before = kept(model(inputs_of(task)).logits, task);
  expect_near(kept(other(inputs_of(task)).logits, task), Json(before), 1e-6);
}

TEST(PromptLearning, TenStepsOfAdamWAreThoseOfPeft) {
  for (const Json& which : cases()) {
    SCOPED_TRACE(title(which));
    learn(which, false);
  }
}

TEST(PromptLearning, RaggedBatchesLearnTheSame) {
  for (const Json& which : cases()) {
    // Of padded texts given as embeddings the reference scores the padding's last place.
    if (which.at("model_type") == "gpt2" && task_of(which) == Task::sequence_classification) continue;
    SCOPED_TRACE(title(which));
    learn(which, true);
  }
}

}  // namespace
}  // namespace mica
