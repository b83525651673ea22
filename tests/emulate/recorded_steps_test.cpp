// Decoding by recorded steps: the same texts, a launch a token, and memory that comes back.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "mica/autograd/random.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/model_session.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

constexpr Device kDevice{DeviceType::cuda, 0};
using Texts = std::vector<std::vector<int64_t>>;

const char* const kGpt2 = R"({"model_type": "gpt2", "vocab_size": 60, "n_embd": 32, "n_head": 2, "n_positions": 300,
    "n_layer": 2, "initializer_range": 0.6, "bos_token_id": 0, "eos_token_id": 1})";
const char* const kLlama = R"({"model_type": "llama", "vocab_size": 60, "hidden_size": 32, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 48, "max_position_embeddings": 300,
    "initializer_range": 0.6, "bos_token_id": 0, "eos_token_id": 1})";
const char* const kMistral = R"({"model_type": "mistral", "vocab_size": 60, "hidden_size": 32, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 48, "max_position_embeddings": 300,
    "sliding_window": 5, "initializer_range": 0.6, "bos_token_id": 0, "eos_token_id": 1})";
const char* const kMixtral = R"({"model_type": "mixtral", "vocab_size": 60, "hidden_size": 32,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 1, "intermediate_size": 48,
    "num_local_experts": 4, "num_experts_per_tok": 2, "max_position_embeddings": 300, "initializer_range": 0.6,
    "bos_token_id": 0, "eos_token_id": 1})";

Model model_of(const char* config, DType dtype = DType::float32) {
  manual_seed(3);
  return Model::from_config(AutoConfig::from_json(config, "test"), Task::causal_lm,
                            {.dtype = dtype, .device = kDevice});
}

// Prompts of 4 and of 3 tokens: so few rows that emulation is fast.
ModelInputs prompts() {
  ModelInputs inputs;
  inputs.input_ids = Tensor::from<int64_t>({5, 17, 9, 30, 0, 7, 19, 3}, {2, 4});
  inputs.attention_mask = Tensor::from<int64_t>({1, 1, 1, 1, 0, 1, 1, 1}, {2, 4});
  return inputs;
}

int64_t used() {
  return static_cast<CudaMemory&>(backend(kDevice).memory()).used();
}

GenerationConfig with_cache(GenerationConfig config, const char* cache) {
  config.cache_implementation = cache;
  return config;
}

Texts texts(const Model& model, const GenerationConfig& config, const char* cache) {
  return model.generate(prompts(), with_cache(config, cache)).tokens;
}

// As the host chooses, from logits that are copied to it.
Texts texts_of_host(const Model& model, GenerationConfig config) {
  config.output_logits = true;
  return texts(model, config, "dynamic");
}

const std::vector<GenerationConfig> kSettings{
    {.max_new_tokens = 8},
    {.max_new_tokens = 8, .do_sample = true, .seed = 5, .temperature = 1.5, .top_k = 0},
    {.max_new_tokens = 8, .do_sample = true, .seed = 6, .temperature = 2, .top_k = 20, .top_p = 0.9},
    {.max_new_tokens = 8, .do_sample = true, .seed = 7, .top_k = 0, .min_p = 0.02, .num_return_sequences = 3},
};

int64_t launches(const Model& model, GenerationConfig config, const char* cache, int64_t tokens) {
  config.max_new_tokens = tokens;
  config.eos_token_id = {1000};  // that never comes
  const int64_t before = launch_count();
  static_cast<void>(texts(model, config, cache));
  return launch_count() - before;
}

void check(const Model& model) {
  for (const GenerationConfig& settings : kSettings) {
    const Texts wanted = texts_of_host(model, settings);
    EXPECT_EQ(texts(model, settings, "dynamic"), wanted);
    EXPECT_EQ(texts(model, settings, "static"), wanted);
  }
  const int64_t before = used();  // scratch and packed weights are there by now
  static_cast<void>(texts(model, kSettings[3], "static"));
  EXPECT_EQ(used(), before);
}

TEST(RecordedSteps, OfGpt2) {
  const Model model = model_of(kGpt2);
  check(model);
  for (const size_t which : {0, 3}) {
    const GenerationConfig& settings = kSettings[which];
    EXPECT_EQ(launches(model, settings, "static", 8) - launches(model, settings, "static", 5), 3);
    EXPECT_GT(launches(model, settings, "dynamic", 8) - launches(model, settings, "dynamic", 5), 3 * 12);
  }
}

TEST(RecordedSteps, OfLlama) {
  const Model model = model_of(kLlama);
  check(model);
  EXPECT_EQ(launches(model, kSettings[2], "static", 8) - launches(model, kSettings[2], "static", 5), 3);
}

TEST(RecordedSteps, OfLlamaInBfloat16) {
  const Model model = model_of(kLlama, DType::bfloat16);
  check(model);
  EXPECT_EQ(launches(model, kSettings[0], "static", 8) - launches(model, kSettings[0], "static", 5), 3);
}

TEST(RecordedSteps, OfWindows) {
  const Model model = model_of(kMistral);
  check(model);
  EXPECT_EQ(launches(model, kSettings[1], "static", 8) - launches(model, kSettings[1], "static", 5), 3);
}

// Whose routes stay on the device.
TEST(RecordedSteps, OfExperts) {
  const Model model = model_of(kMixtral);
  check(model);
  EXPECT_EQ(launches(model, kSettings[0], "static", 8) - launches(model, kSettings[0], "static", 5), 3);
}

// Rows end one after the other, and the batch goes on without them.
TEST(RecordedSteps, OfABatchThatShrinks) {
  const Model model = model_of(kLlama);
  GenerationConfig settings = kSettings[3];
  settings.max_new_tokens = 20;
  settings.eos_token_id = {1000};
  const Texts all = texts_of_host(model, settings);
  // The end token that comes at the most different places.
  size_t most = 0;
  for (int64_t token = 0; token < 60; ++token) {
    std::set<std::ptrdiff_t> ends;
    for (const std::vector<int64_t>& text : all) {
      ends.insert(std::find(text.begin(), text.end(), token) - text.begin());
    }
    if (ends.size() <= most) continue;
    most = ends.size();
    settings.eos_token_id = {token};
  }
  EXPECT_GE(most, 4U);
  const Texts wanted = texts_of_host(model, settings);
  EXPECT_EQ(texts(model, settings, "static"), wanted);
}

// Beyond the keys of the first recording, a second one.
TEST(RecordedSteps, OfALongText) {
  const Model model = model_of(kLlama);
  ModelInputs inputs;
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 250; ++i) ids.push_back((i * i + 3 * i) % 59 + 1);
  inputs.input_ids = Tensor::from(ids, {1, 250});
  const GenerationConfig settings{.max_new_tokens = 12, .do_sample = true, .seed = 5, .top_k = 0};
  const Texts wanted = model.generate(inputs, with_cache(settings, "dynamic")).tokens;
  EXPECT_EQ(model.generate(inputs, with_cache(settings, "static")).tokens, wanted);
}

// A session whose cache has to grow, and that is given tokens other than the chosen ones.
TEST(RecordedSteps, FollowTheSession) {
  const Model model = model_of(kGpt2);
  ModelSession recorded(model, {}, 2, 6), ordinary(model, {}, 2, 6);
  recorded.record_steps();
  const SamplingRule rule{.sample = true, .seed = 9, .top_k = 30};
  const auto same = [&](const Texts& tokens, int64_t step) {
    const std::vector<RowDraw> draws{{0, 0, step}, {1, 4, step + 2}};
    const int64_t before = launch_count();
    const auto chosen = recorded.append_and_choose(tokens, rule, draws);
    const int64_t taken = launch_count() - before;
    EXPECT_EQ(chosen, ordinary.append_and_choose(tokens, rule, draws)) << "step " << step;
    return taken;
  };
  same({{5, 6, 7}, {8}}, 0);
  for (int64_t step = 1; step < 14; ++step) {
    const int64_t taken = same({{step + 20}, {step * 3 % 50}}, step);
    if (step == 3 || step == 13) {
      EXPECT_EQ(taken, 1);
    }
  }
  // Cut, and on with more than one token; then other rows in another order.
  for (ModelSession* each : {&recorded, &ordinary}) each->truncate(0, 4);
  same({{1, 2}, {3}}, 14);
  same({{4}, {5}}, 15);
  same({{4}, {5}}, 16);
  for (ModelSession* each : {&recorded, &ordinary}) each->reorder(std::vector<int64_t>{1, 0});
  same({{6}, {7}}, 17);
  EXPECT_EQ(same({{6}, {7}}, 18), 1);
}

TEST(RecordedSteps, MemoryOfOthersIsLeftAlone) {
  const Model model = model_of(kLlama);
  ModelSession recorded(model, {}, 1, 40), ordinary(model, {}, 1, 40);
  recorded.record_steps();
  const std::vector<RowDraw> draws(1);
  int64_t token = 9;
  for (int64_t step = 0; step < 10; ++step) {
    // Whatever is free is written to between two replays, and scratch moves.
    std::vector<Tensor> others;
    for (const int64_t size : {1, 2, 30, 32, 64, 96, 128, 240, 1000}) {
      for (int i = 0; i < 6; ++i) others.push_back(Tensor::full({size}, 1e30, DType::float32, kDevice));
    }
    backend(kDevice).queue().workspace((step + 1) << 16);
    const Texts next{{token}};
    const std::vector<int64_t> wanted = ordinary.append_and_choose(next, {}, draws);
    EXPECT_EQ(recorded.append_and_choose(next, {}, draws), wanted);
    token = wanted[0];
  }
}

TEST(RecordedSteps, CanBeTurnedOff) {
  const Model model = model_of(kGpt2);
  ::setenv("MICA_CUDA_GRAPHS", "0", 1);
  EXPECT_GT(launches(model, kSettings[0], "static", 8) - launches(model, kSettings[0], "static", 5), 3 * 12);
  ::unsetenv("MICA_CUDA_GRAPHS");
}

}  // namespace
}  // namespace mica::cuda
