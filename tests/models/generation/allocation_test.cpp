// A step in the middle of a text allocates nothing. Allocations are counted by the program's operator new.

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "mica/models/generation/generate.h"
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

}  // namespace
}  // namespace mica
