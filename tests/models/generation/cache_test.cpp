// The cache of keys and values: layers with a window forget what no query will see, and nobody can tell.

#include "mica/models/modules/cache.h"

#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/generation/model_session.h"

namespace mica {
namespace {

constexpr int64_t kWindow = 100;

// One layer's attention to a cache, call after call.
class Attending {
 public:
  explicit Attending(int64_t window) : cache_(std::vector<int64_t>{window}, 2, 16) {}

  std::vector<float> operator()(const std::vector<int64_t>& counts) {
    const int64_t rows = counts[0] + counts[1];
    manual_seed(++calls_);  // others of as many calls get the same numbers
    const Tensor query = random({rows, 2, 8}), key = random({rows, 1, 8}), value = random({rows, 1, 8});
    cache_.begin(counts);
    const auto [keys, values] = cache_.append(0, key, value);
    const Tensor result = attention(query, keys, values, SequenceOffsets::from_lengths(counts), cache_.offsets(0),
                                    {.causal = true, .window = kWindow});
    cache_.end();
    return result.to_vector<float>();
  }
  KeyValueCache& cache() { return cache_; }

 private:
  static Tensor random(const Shape& shape) { return normal(shape, 0, 1); }
  KeyValueCache cache_;
  uint64_t calls_ = 0;
  const NoGrad no_grad_;
};

TEST(Cache, WindowsForgetAndGiveTheSameBits) {
  Attending all(0), few(kWindow);
  const auto both = [&](const std::vector<int64_t>& counts) { EXPECT_EQ(all(counts), few(counts)); };
  both({4000, 30});  // one that does not fit
  for (int i = 0; i < 40; ++i) both({1, 97});
  both({3, 5000});
  all.cache().reorder(std::vector<int64_t>{1, 1});
  few.cache().reorder(std::vector<int64_t>{1, 1});
  for (int i = 0; i < 40; ++i) both({95, 1});
  both({0, 2});
  EXPECT_EQ(few.cache().length(0), all.cache().length(0));
  EXPECT_LT(few.cache().bytes(), all.cache().bytes() / 2);
}

// Lengths around those at which one block more is forgotten: what is left is as short as it can be.
TEST(Cache, AWindowIsKeptWhole) {
  for (int64_t length = 3 * 1536 + 30; length < 3 * 1536 + 200; length += 10) {
    Attending all(0), few(kWindow);
    for (const std::vector<int64_t>& counts : {std::vector<int64_t>{length, 3}, {1, 1}, {2, 1}}) {
      EXPECT_EQ(all(counts), few(counts)) << length;
    }
  }
}

TEST(Cache, WhatAWindowForgotIsNotTakenBack) {
  Attending few(kWindow);
  few({4000, 10});
  EXPECT_TRUE(few.cache().may_truncate(0, 3990));
  EXPECT_FALSE(few.cache().may_truncate(0, 500));
  EXPECT_TRUE(few.cache().may_truncate(0, 0));
  EXPECT_TRUE(few.cache().may_truncate(1, 3));
  EXPECT_THROW(few.cache().truncate(0, 500), Error);
  few.cache().truncate(0, 3990);
  EXPECT_EQ(few.cache().length(0), 3990);
  few.cache().truncate(0, 0);
  EXPECT_EQ(few.cache().length(0), 0);
}

// A session reads again what it has to.
TEST(Cache, ASessionGoesBackBehindItsWindows) {
  const Model model = Model::from_config(AutoConfig::from_json(R"({"model_type": "mistral", "vocab_size": 40,
      "hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 2,
      "intermediate_size": 16, "sliding_window": 16, "max_position_embeddings": 8192})"),
                                         Task::causal_lm);
  std::vector<int64_t> text;
  for (int64_t i = 0; i < 4000; ++i) text.push_back(i * i % 37);
  ModelSession session(model, {}, 2, 16), other(model, {}, 2, 16);
  session.append(std::vector<std::vector<int64_t>>{text, {1, 2, 3}}, GenerationSession::Positions::last);
  session.truncate(0, 700);
  session.truncate(1, 2);
  const std::vector<std::vector<int64_t>> more{{5, 6}, {7}};
  const Tensor have = session.append(more, GenerationSession::Positions::all);
  EXPECT_EQ(session.length(0), 702);
  other.append(std::vector<std::vector<int64_t>>{{text.begin(), text.begin() + 700}, {1, 2}},
               GenerationSession::Positions::last);
  const Tensor wanted = other.append(more, GenerationSession::Positions::all);
  ASSERT_EQ(have.shape(), wanted.shape());
  const auto a = have.to_vector<float>(), b = wanted.to_vector<float>();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5);
}

}  // namespace
}  // namespace mica
