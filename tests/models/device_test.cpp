// Models on a device that is not the CPU: the guarded device, whose kernels are the CPU's, so that results have the
// CPU's bits, and whose memory nobody but kernels may look at.

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/linear.h"
#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/auto/lora.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/prompts.h"
#include "mica/tests/support/golden.h"
#include "mica/tests/support/guarded_device.h"
#include "mica/tests/support/tiny_model.h"

namespace mica {
namespace {

using test::copies_from_host;
using test::copies_to_host;
using test::guarded_device;

golden::Case golden_case(const std::string& name) {
  const std::string path = MICA_SOURCE_DIR "/tests/golden/" + name;
  const size_t slash = name.find('/');
  const std::string file = name.substr(slash + 1);
  return {name.substr(0, slash), file.substr(0, file.find('.')), file, path + ".json", path + ".safetensors"};
}

// A golden case's model, its weights by their rule.
Model model_of(const std::string& name, Device device) {
  const golden::Case which = golden_case(name);
  const Json json = read_json_file(which.json_path);
  Model model = Model::from_config(AutoConfig::from_json(json.at("config").dump(), which.json_path),
                                   task_from_name(which.task), {.device = device});
  golden::fill_by_rule(model);
  return model;
}

// Two texts, of which the mask hides the end of the second.
ModelInputs some_inputs(bool masked = true) {
  ModelInputs inputs;
  inputs.input_ids = Tensor::from<int64_t>({5, 17, 9, 30, 21, 8, 11, 14, 7, 19, 3, 3}, {2, 6});
  if (masked) inputs.attention_mask = Tensor::from<int64_t>({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, {2, 6});
  return inputs;
}

int64_t copies_of(const std::function<void()>& work) {
  const int64_t before = copies_to_host();
  work();
  return copies_to_host() - before;
}

std::vector<float> all_parameters(const Model& model) {
  std::vector<float> all;
  for (const auto& [name, tensor] : model.parameters()) {
    const std::vector<float> values = tensor.to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

std::vector<float> result_of(const Model& model, const ModelInputs& inputs) {
  const NoGrad no_grad;
  return model(inputs).named().front().second.to_vector<float>();
}

// ---- the reference's cases

class DeviceGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(DeviceGolden, EqualsTheReference) {
  for (const std::string& difference : golden::run(golden_case(GetParam()), guarded_device())) {
    ADD_FAILURE() << difference;
  }
}

std::string title(const ::testing::TestParamInfo<const char*>& info) {
  std::string text = info.param;
  for (char& c : text) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return text;
}

INSTANTIATE_TEST_SUITE_P(Cases, DeviceGolden,
                         ::testing::Values("bert/base", "bert/pretraining", "bert/question_answering",
                                           "roberta/token_classification", "distilbert/masked_lm", "mpnet/masked_lm",
                                           "electra/pretraining", "albert/multiple_choice", "deberta-v2/masked_lm",
                                           "longformer/question_answering", "xlnet/causal_lm", "esm/masked_lm",
                                           "modernbert/sequence_classification", "nomic_bert/base", "gpt2/causal_lm",
                                           "gpt2/sequence_classification", "llama/causal_lm", "mistral/causal_lm",
                                           "qwen2/causal_lm", "mixtral/causal_lm", "deepseek_v3/causal_lm",
                                           "gpt_oss/causal_lm", "gemma3_text/causal_lm", "bloom/causal_lm",
                                           "t5/seq2seq_lm", "bart/seq2seq_lm", "bart/sequence_classification",
                                           "led/seq2seq_lm", "pegasus/seq2seq_lm", "encoder-decoder/seq2seq_lm"),
                         title);

// ---- what the host waits for

class CommonFamily : public ::testing::TestWithParam<const char*> {};

TEST_P(CommonFamily, AForwardPassCopiesNothingToTheHost) {
  const Model model = model_of(GetParam(), guarded_device());
  ModelInputs inputs = some_inputs();
  const NoGrad no_grad;
  if (model.network().shape().encoder_decoder) inputs.decoder_input_ids = inputs.input_ids;
  ModelOutput output;
  EXPECT_EQ(copies_of([&] { output = model(inputs); }), 0) << "fused";
  EXPECT_EQ(copies_of([&] { output = model(inputs); }), 0) << "with packed weights";
}

TEST_P(CommonFamily, ForwardAndBackwardCopyNothingToTheHost) {
  const Model model = model_of(GetParam(), guarded_device());
  ModelInputs inputs = some_inputs();
  inputs.labels = inputs.input_ids;
  model.train();
  Tensor loss;
  EXPECT_EQ(copies_of([&] { loss = model(inputs).loss; }), 0) << "forward";
  EXPECT_EQ(copies_of([&] { backward(loss); }), 0) << "backward";
  inputs.loss_only = true;
  EXPECT_EQ(copies_of([&] { backward(model(inputs).loss); }), 0) << "the loss alone";
}

INSTANTIATE_TEST_SUITE_P(Families, CommonFamily,
                         ::testing::Values("bert/masked_lm", "roberta/masked_lm", "distilbert/masked_lm",
                                           "mpnet/masked_lm", "gpt2/causal_lm", "llama/causal_lm", "mistral/causal_lm",
                                           "qwen2/causal_lm", "qwen3/causal_lm", "t5/seq2seq_lm", "bart/seq2seq_lm"),
                         title);

class DeviceGeneration : public ::testing::TestWithParam<const char*> {
 protected:
  Model on_device_ = model_of(GetParam(), guarded_device()), on_cpu_ = model_of(GetParam(), {});
  ModelInputs inputs_ = some_inputs();

  void expect_same(const GenerationConfig& config) {
    manual_seed(3);
    const GenerationOutput wanted = on_cpu_.generate(inputs_, config);
    manual_seed(3);
    const GenerationOutput have = on_device_.generate(inputs_, config);
    EXPECT_EQ(have.tokens, wanted.tokens);
    EXPECT_TRUE(have.sequences.device().is_cpu());
  }
};

TEST_P(DeviceGeneration, TheLogitsComeToTheHostOnceAStep) {
  constexpr int64_t kSteps = 5;
  GenerationConfig config{.max_new_tokens = kSteps};
  config.min_new_tokens = kSteps;
  EXPECT_EQ(copies_of([&] { on_device_.generate(inputs_, config); }), kSteps);
  config.num_beams = 3;
  EXPECT_LE(copies_of([&] { on_device_.generate(inputs_, config); }), kSteps);
}

TEST_P(DeviceGeneration, GivesTheCpusTokens) {
  expect_same({.max_new_tokens = 8});
  expect_same({.max_new_tokens = 6, .num_beams = 3});
  expect_same({.max_new_tokens = 6, .num_beams = 4, .num_return_sequences = 2});
  expect_same({.max_new_tokens = 8, .do_sample = true, .temperature = 0.8, .top_k = 12});
}

TEST_P(DeviceGeneration, SpeculatesWithTheCpusTokens) {
  expect_same({.max_new_tokens = 8, .prompt_lookup_num_tokens = 3});
  const GenerationConfig greedy{.max_new_tokens = 8};
  const GenerationOutput wanted = on_cpu_.generate(inputs_, greedy);
  const Model assistant = model_of(GetParam(), guarded_device());
  ModelSession drafts = start_session(assistant, inputs_, 32);
  GenerationHooks hooks;
  hooks.draft = &drafts;
  EXPECT_EQ(on_device_.generate(inputs_, greedy, hooks).tokens, wanted.tokens);
}

INSTANTIATE_TEST_SUITE_P(Families, DeviceGeneration,
                         ::testing::Values("gpt2/causal_lm", "llama/causal_lm", "mistral/causal_lm", "bloom/causal_lm",
                                           "t5/seq2seq_lm", "bart/seq2seq_lm"),
                         title);

// ---- a model's life

TEST(DeviceModel, StartsWithTheNumbersOfEveryDevice) {
  const Config config = AutoConfig::from_json(read_json_file(golden_case("bert/base").json_path).at("config").dump());
  manual_seed(11);
  const Model on_cpu = AutoModel::from_config(config);
  manual_seed(11);
  const Model on_device = AutoModel::from_config(config, {.device = guarded_device()});
  for (const auto& [name, tensor] : on_device.parameters()) EXPECT_EQ(tensor.device(), guarded_device()) << name;
  EXPECT_EQ(all_parameters(on_cpu), all_parameters(on_device));
}

TEST(DeviceModel, DropoutAndGradientsAreTheCpus) {
  std::vector<float> losses, gradients[2];
  for (const Device device : {Device{}, guarded_device()}) {
    const Model model = model_of("bert/masked_lm", device);
    ModelInputs inputs = some_inputs();
    inputs.labels = inputs.input_ids;
    model.train();
    for (const bool checkpointing : {false, true}) {
      model.gradient_checkpointing_enable(checkpointing);
      manual_seed(7);
      const Tensor loss = model(inputs).loss;
      losses.push_back(loss.item<float>());
      backward(loss);
    }
    for (const auto& [name, parameter] : model.parameters()) {
      if (!parameter.grad().defined()) continue;
      EXPECT_EQ(parameter.grad().device(), device) << name;
      const std::vector<float> values = parameter.grad().to_vector<float>();
      std::vector<float>& all = gradients[device.is_cpu() ? 0 : 1];
      all.insert(all.end(), values.begin(), values.end());
    }
  }
  EXPECT_EQ(losses, std::vector<float>(4, losses[0]));
  EXPECT_EQ(gradients[0], gradients[1]);
}

TEST(DeviceModel, IsSavedAndOpened) {
  const tiny::TemporaryFolder folder;
  for (const std::string name : {"bert/masked_lm", "bart/seq2seq_lm"}) {
    const Task task = task_from_name(name.substr(name.find('/') + 1));
    const Model model = model_of(name, guarded_device());
    model.save_pretrained(folder.path());
    const Model on_cpu = Model::from_pretrained(folder.path(), task);
    EXPECT_EQ(all_parameters(on_cpu), all_parameters(model));
    const int64_t before = copies_from_host();
    const Model again = Model::from_pretrained(folder.path(), task, {.device = guarded_device()});
    EXPECT_EQ(copies_from_host() - before, static_cast<int64_t>(again.parameters().size())) << "each tensor once";
    ModelInputs inputs = some_inputs();
    if (task == Task::seq2seq_lm) inputs.decoder_input_ids = inputs.input_ids;
    EXPECT_EQ(result_of(again, inputs), result_of(on_cpu, inputs));
  }
}

// Packed weights, constants, views of parameters, and copies that the host keeps go along.
TEST(DeviceModel, MovesThereAndBack) {
  for (const char* name : {"bert/masked_lm", "bloom/causal_lm", "esm/masked_lm", "bart/seq2seq_lm"}) {
    SCOPED_TRACE(name);
    const Model model = model_of(name, {});
    ModelInputs inputs = some_inputs();
    if (model.network().shape().encoder_decoder) inputs.decoder_input_ids = inputs.input_ids;
    const std::vector<float> first = result_of(model, inputs);
    EXPECT_EQ(result_of(model, inputs), first) << "packed";
    EXPECT_EQ(model.to(guarded_device()).device(), guarded_device());
    for (const auto& [parameter, tensor] : model.parameters()) {
      EXPECT_EQ(tensor.device(), guarded_device()) << parameter;
      if (parameter == "final_logits_bias") tensor.detach().fill_(0.25);
    }
    const std::vector<float> there = result_of(model, inputs);
    if (!model.network().shape().encoder_decoder) {
      EXPECT_EQ(there, first);
    }
    EXPECT_EQ(result_of(model, inputs), there);
    model.to({});
    EXPECT_EQ(result_of(model, inputs), there);
    EXPECT_EQ(result_of(model, inputs), there);
  }
  const Model model = model_of("bert/base", {});
  EXPECT_THROW(model.to({DeviceType::cuda, 97}), Error);
  EXPECT_TRUE(model.device().is_cpu());
}

TEST(DeviceModel, ItsAdaptersLiveThere) {
  const tiny::TemporaryFolder folder;
  const LoraConfig lora{.r = 2, .lora_alpha = 4, .target_modules = {"query", "value"}};
  const auto adapted = [&](Device device) {
    const Model model = model_of("bert/masked_lm", device);
    manual_seed(5);
    add_adapter(model, lora);
    for (const auto& [name, tensor] : adapter_parameters(model)) {
      EXPECT_EQ(tensor.device(), device);
      if (name.find("lora_B") != std::string::npos) tensor.detach().fill_(0.1);
    }
    return model;
  };
  const Model on_cpu = adapted({}), model = adapted(guarded_device());
  const ModelInputs inputs = some_inputs();
  const std::vector<float> wanted = result_of(on_cpu, inputs);
  EXPECT_EQ(result_of(model, inputs), wanted);
  model.to({}).to(guarded_device());
  EXPECT_EQ(result_of(model, inputs), wanted);
  save_adapter(model, folder.path(), "default", "nowhere");
  const Model loaded = model_of("bert/masked_lm", guarded_device());
  load_adapter(loaded, folder.path());
  EXPECT_EQ(result_of(loaded, inputs), wanted);
  merge_adapters(model);
  merge_adapters(on_cpu);
  EXPECT_EQ(all_parameters(model), all_parameters(on_cpu));
}

TEST(DeviceModel, InputsMayLieThereToo) {
  const Model model = model_of("bert/masked_lm", guarded_device());
  ModelInputs inputs = some_inputs(), moved = inputs;
  moved.labels = inputs.labels = inputs.input_ids;
  for (Tensor* each : {&moved.input_ids, &moved.attention_mask, &moved.labels}) *each = each->to(guarded_device());
  const NoGrad no_grad;
  EXPECT_EQ(model(moved).loss.item<float>(), model(inputs).loss.item<float>());
  moved.labels = Tensor::full({2, 6}, 1e6, DType::int64, guarded_device());
  EXPECT_THROW(model(moved), Error) << "labels beyond the vocabulary";
  moved.input_ids = moved.labels;
  EXPECT_THROW(model(moved), Error) << "ids beyond the vocabulary";
}

TEST(DeviceModel, OperandsOfTwoDevicesAreAnError) {
  const Tensor x = Tensor::ones({2, 3}), weight = Tensor::ones({4, 3}, DType::float32, guarded_device());
  EXPECT_THROW(linear(x, weight), Error);
  EXPECT_THROW(matmul(weight, x, false, true), Error);
  weight.set_requires_grad();
  EXPECT_THROW(backward(linear(weight, weight), Tensor::ones({4, 4})), Error);
}

}  // namespace
}  // namespace mica
