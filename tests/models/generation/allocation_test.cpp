// A step in the middle of a text allocates nothing. Allocations are counted by the program's operator new.

#include <atomic>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/model_session.h"
#include "mica/models/modules/cache.h"
#include "mica/tests/models/generation/toy_session.h"

namespace {
std::atomic<int64_t> allocations{0};
}

// The address sanitizer has operators of its own, whose other forms these would not fit.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCounts = false;
#else
constexpr bool kCounts = true;
// NOLINTBEGIN(misc-new-delete-overloads)
// Not inlined: the compiler would see malloc freed by delete, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* data = std::malloc(size == 0 ? 1 : size)) return data;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* data) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete(void* data, std::size_t) noexcept {
  std::free(data);
}
// NOLINTEND(misc-new-delete-overloads)
#endif

namespace mica {
namespace {

// Notes the number of allocations at each run of the model.
class Counting : public toy::TableSession {
 public:
  Counting() : TableSession(200, 5000) { counts.reserve(10'000); }
  Tensor append(std::span<const std::vector<int64_t>> tokens, Positions positions) override {
    counts.push_back(allocations);
    return TableSession::append(tokens, positions);
  }
  std::vector<int64_t> counts;
};

int64_t allocations_between(const GenerationConfig& config, size_t first, size_t last,
                            const GenerationHooks& hooks = {}) {
  Counting session;
  generate(session, {{1, 2}, {3, 4, 5}, {6}}, config.with({.max_new_tokens = 300}), hooks);
  EXPECT_GT(session.counts.size(), last);
  return session.counts[last] - session.counts[first];
}

TEST(Allocation, NoneInAStepOfGreedySearch) {
  if (!kCounts) GTEST_SKIP() << "allocations are not counted under the address sanitizer";
  EXPECT_EQ(allocations_between({}, 20, 250), 0);
  EXPECT_EQ(allocations_between({.repetition_penalty = 1.1,
                                 .no_repeat_ngram_size = 3,
                                 .bad_words_ids = {{{1, 2}}},
                                 .output_transition_scores = true},
                                20, 250),
            0);
}

TEST(Allocation, NoneInAStepOfSampling) {
  if (!kCounts) GTEST_SKIP() << "allocations are not counted under the address sanitizer";
  EXPECT_EQ(allocations_between({.do_sample = true, .seed = 1}, 20, 250), 0);
  EXPECT_EQ(allocations_between({.do_sample = true,
                                 .seed = 1,
                                 .temperature = 0.9,
                                 .top_k = 40,
                                 .top_p = 0.9,
                                 .min_p = 0.01,
                                 .typical_p = 0.95,
                                 .epsilon_cutoff = 1e-4,
                                 .eta_cutoff = 1e-4,
                                 .num_return_sequences = 2},
                                20, 250),
            0);
}

TEST(Allocation, NoneInAStepOfBeamSearch) {
  if (!kCounts) GTEST_SKIP() << "allocations are not counted under the address sanitizer";
  EXPECT_EQ(allocations_between({.num_beams = 4, .output_transition_scores = true}, 20, 250), 0);
}

// The same of a model: its tensors' handles and memory are used again.
class CountingModel : public ModelSession {
 public:
  CountingModel(const Model& model, const ModelInputs& inputs, int64_t capacity = 130,
                const std::optional<CacheQuantization>& quantization = {})
      : ModelSession(model, inputs, 2, capacity, quantization) {
    counts.reserve(1000);
    used.reserve(1000);
  }
  Tensor append(std::span<const std::vector<int64_t>> tokens, Positions positions) override {
    counts.push_back(allocations);
    const auto& memory = dynamic_cast<const CpuMemory&>(backend(Device{}).memory());
    used.push_back(memory.used() + memory.cached());
    return ModelSession::append(tokens, positions);
  }
  std::vector<int64_t> counts, used;
};

TEST(Allocation, NoneInAModelsStep) {
  if (!kCounts) GTEST_SKIP() << "allocations are not counted under the address sanitizer";
  const char* small = R"("vocab_size": 50, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, )";
  const std::pair<Task, std::string> models[] = {
      {Task::causal_lm, R"("model_type": "llama", "num_key_value_heads": 2, "intermediate_size": 48)"},
      {Task::causal_lm, R"("model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48)"},
      {Task::causal_lm, R"("model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2)"},
      {Task::causal_lm, R"("model_type": "gpt_neox", "intermediate_size": 48)"},
      {Task::seq2seq_lm,
       R"("model_type": "t5", "d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 48, "num_layers": 2)"},
  };
  for (const auto& [task, fields] : models) {
    SCOPED_TRACE(fields);
    const Model model = Model::from_config(AutoConfig::from_json("{" + std::string(small) + fields + "}"), task);
    ModelInputs inputs;
    if (task == Task::seq2seq_lm) inputs.input_ids = Tensor::from(std::vector<int64_t>{5, 6, 7, 8, 9, 10}, {2, 3});
    // T5's biases grow with the text, and the first text asks for a block of each size.
    for (const bool counted : {false, true}) {
      CountingModel session(model, inputs);
      generate(session, {{1, 2}, {3, 4}}, {.max_new_tokens = 120, .min_new_tokens = 120});
      // Texts are lists that double: between 66 and 124 tokens they need nothing.
      ASSERT_GT(session.counts.size(), 118U);
      if (!counted) continue;
      EXPECT_EQ(session.counts[115] - session.counts[75], 0);
      EXPECT_EQ(session.used[115], session.used[75]);
    }
  }
}

// With a cache in 8 bits, across the end of a block as well.
TEST(Allocation, NoneInAStepWithACacheInEightBits) {
  if (!kCounts) GTEST_SKIP() << "allocations are not counted under the address sanitizer";
  const Model model = Model::from_config(AutoConfig::from_json(R"({"model_type": "llama", "vocab_size": 50,
      "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
      "intermediate_size": 48})"),
                                         Task::causal_lm);
  for (const bool counted : {false, true}) {
    CountingModel session(model, {}, 300, CacheQuantization{.group_size = 4, .residual_length = 0});
    generate(session, {{1, 2, 3}, {3, 4, 5}}, {.max_new_tokens = 290, .min_new_tokens = 290});
    // Texts are lists that double: those of 3 and those of new tokens need nothing between 193 and 259 tokens.
    ASSERT_GT(session.counts.size(), 258U);
    if (!counted) continue;
    EXPECT_EQ(session.counts[255] - session.counts[195], 0);
    EXPECT_EQ(session.used[255], session.used[195]);
  }
}

TEST(Allocation, ACacheBeyondMemoryIsRefusedWithTheFigure) {
  KeyValueCache cache(40, 64, int64_t{1} << 22);
  cache.begin(std::vector<int64_t>(64, 1));
  const Tensor rows = Tensor::zeros({64, 8, 128});
  try {
    cache.append(0, rows, rows);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("64 texts of 4194304 tokens take 83886080 MiB"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace mica
