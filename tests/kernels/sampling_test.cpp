#include "mica/kernels/sampling.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

constexpr float kBarred = -std::numeric_limits<float>::infinity();

std::vector<int64_t> chosen(const std::vector<float>& logits, int64_t rows, const SamplingRule& rule,
                            const std::vector<int64_t>& streams = {}, const std::vector<int64_t>& indices = {}) {
  const auto count = static_cast<size_t>(rows);
  const Array<float> x({rows, static_cast<int64_t>(logits.size()) / rows}, logits);
  const Array<int64_t> s({rows}, streams.empty() ? std::vector<int64_t>(count) : streams);
  const Array<int64_t> i({rows}, indices.empty() ? std::vector<int64_t>(count) : indices);
  const Array<int64_t> tokens({rows});
  tested().sampling().choose(x.view(), rule, s.view(), i.view(), tokens.view());
  return tokens.values();
}

// The rule one list after the other, with probabilities of float32 and sums of float64.
int64_t expected(const std::vector<float>& logits, const SamplingRule& rule, uint64_t stream, uint64_t index) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<float> scores = logits;
  for (float& each : scores) each /= rule.temperature;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a > b; });
  const auto probabilities = [&] {
    std::vector<double> p(logits.size(), 0.0);
    double sum = 0;
    for (const size_t i : order)
      sum += p[i] = std::exp(static_cast<double>(scores[i]) - static_cast<double>(scores[order[0]]));
    for (double& each : p) each = static_cast<double>(static_cast<float>(each / sum));  // as they are told
    return p;
  };
  if (rule.top_k > 0 && static_cast<size_t>(rule.top_k) < order.size()) {
    const float bar = scores[order[static_cast<size_t>(rule.top_k) - 1]];
    std::erase_if(order, [&](size_t i) { return scores[i] < bar; });
  }
  if (rule.top_p < 1) {
    const std::vector<double> p = probabilities();
    double sum = 0;
    size_t kept = 0;
    while (kept < order.size() && (kept == 0 || static_cast<float>(sum) < rule.top_p)) sum += p[order[kept++]];
    order.resize(kept);
  }
  if (rule.min_p >= 0) {
    const std::vector<double> p = probabilities();
    const double bar = static_cast<double>(rule.min_p) * p[order[0]];
    std::erase_if(order, [&](size_t i) { return p[i] < bar; });
  }
  const std::vector<double> p = probabilities();
  const uint64_t bits =
      (uint64_t{philox_word(rule.seed, stream, index)} << 32 | philox_word(rule.seed, stream, index + 1)) >> 11;
  double sum = 0;
  int64_t last = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    sum += p[i];
    last = static_cast<int64_t>(i);
    if (static_cast<double>(bits) * 0x1p-53 < sum) break;
  }
  return last;
}

std::vector<float> some_logits(int64_t count, uint64_t stream, bool ties) {
  std::vector<float> result;
  for (int64_t i = 0; i < count; ++i) {
    const float u = uniform_from_word(philox_word(5, stream, static_cast<uint64_t>(i)));
    const float x = 12 * u * u * u * u - 4;
    result.push_back(ties ? std::floor(2 * x) / 2 : x);
  }
  return result;
}

TEST(Sampling, GreedyTakesTheFirstLargest) {
  EXPECT_EQ(chosen({1, 3, 3, -2, 0, 0, 0, 0, kBarred, kBarred, kBarred, -7, -5, -4, -4, -9}, 4, {}),
            (std::vector<int64_t>{1, 0, 3, 1}));
  EXPECT_EQ(chosen({-0.0F, 0.0F, -1}, 1, {}), (std::vector<int64_t>{0}));
  std::vector<float> many = some_logits(5000, 1, false);
  many[3333] = 100;
  EXPECT_EQ(chosen(many, 1, {}), (std::vector<int64_t>{3333}));
}

TEST(Sampling, WhatIsNoNumberIsNoToken) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = -kBarred;
  const auto no = [](NoToken why) { return static_cast<int64_t>(why); };
  const std::vector<float> rows{kBarred, kBarred, 1, nan, infinity, 2, 0, 5};
  EXPECT_EQ(chosen(rows, 4, {}), (std::vector<int64_t>{no(NoToken::all_barred), no(NoToken::undefined), 0, 1}));
  const auto drawn = chosen(rows, 4, {.sample = true});
  EXPECT_EQ(std::vector<int64_t>(drawn.begin(), drawn.begin() + 3),
            (std::vector<int64_t>{no(NoToken::all_barred), no(NoToken::undefined), no(NoToken::undefined)}));
  EXPECT_EQ(chosen(rows, 4, {.sample = true, .top_k = 1}),
            (std::vector<int64_t>{no(NoToken::all_barred), no(NoToken::undefined), no(NoToken::infinite), 1}));
}

TEST(Sampling, DrawsAreTheRules) {
  const std::vector<SamplingRule> rules{{},
                                        {.temperature = 0.7F},
                                        {.top_k = 1},
                                        {.top_k = 5},
                                        {.temperature = 3, .top_k = 50},
                                        {.top_k = 100'000},
                                        {.top_p = 0.1F},
                                        {.top_p = 0.9F},
                                        {.top_p = 0.999'999F},
                                        {.min_p = 0.2F},
                                        {.min_p = 0},
                                        {.min_p = 1},
                                        {.temperature = 2, .top_k = 40, .top_p = 0.8F, .min_p = 0.05F}};
  constexpr int64_t kRows = 3;
  uint64_t seed = 40;
  for (SamplingRule rule : rules) {
    for (const int64_t size : {1, 7, 33, 1000, 5003}) {
      for (const bool ties : {false, true}) {
        rule.sample = true;
        rule.seed = ++seed;
        std::vector<float> logits;
        std::vector<int64_t> streams, indices, wanted;
        for (int64_t row = 0; row < kRows; ++row) {
          std::vector<float> own = some_logits(size, seed * 10 + static_cast<uint64_t>(row), ties);
          if (size > 7) own[5] = kBarred;
          streams.push_back(row / 2);
          indices.push_back((row + 3) << 20);
          wanted.push_back(
              expected(own, rule, static_cast<uint64_t>(streams.back()), static_cast<uint64_t>(indices.back())));
          logits.insert(logits.end(), own.begin(), own.end());
        }
        EXPECT_EQ(chosen(logits, kRows, rule, streams, indices), wanted)
            << "temperature " << rule.temperature << ", top_k " << rule.top_k << ", top_p " << rule.top_p << ", min_p "
            << rule.min_p << ", " << size << (ties ? " tokens with ties" : " tokens");
      }
    }
  }
}

// Of equal ones top_k keeps all, top_p the later.
TEST(Sampling, TiesAtTheBar) {
  const std::vector<float> row(8, 1.5F);
  std::vector<int64_t> by_k(8), by_p(8);
  for (int64_t i = 0; i < 60; ++i) {
    ++by_k[static_cast<size_t>(chosen(row, 1, {.sample = true, .top_k = 2}, {}, {2 * i})[0])];
    ++by_p[static_cast<size_t>(chosen(row, 1, {.sample = true, .top_p = 0.3F}, {}, {2 * i})[0])];
  }
  for (const int64_t count : by_k) EXPECT_GT(count, 0);
  EXPECT_EQ(std::vector<int64_t>(by_p.begin(), by_p.begin() + 5), std::vector<int64_t>(5, 0));
  for (size_t i = 5; i < 8; ++i) EXPECT_GT(by_p[i], 8);
}

}  // namespace
}  // namespace mica
