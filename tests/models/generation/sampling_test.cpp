// Sampling: the distribution of texts, and that they are the same in every batch and for every number of threads.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/base/parallel.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/scores.h"
#include "mica/tests/models/generation/toy_session.h"

namespace mica {
namespace {

std::vector<double> softmax_after(const toy::TableSession& session, const std::vector<int64_t>& ids,
                                  double temperature = 1) {
  std::vector<float> logits(static_cast<size_t>(session.vocab_size()));
  session.logits_of(ids, logits.data());
  std::vector<double> p;
  double sum = 0;
  for (const float logit : logits) sum += p.emplace_back(std::exp(static_cast<double>(logit) / temperature));
  for (double& x : p) x /= sum;
  return p;
}

// The distribution of the three tokens behind {1, 2}, in a vocabulary of five: bin t0 * 25 + t1 * 5 + t2.
std::vector<double> three_tokens(const toy::TableSession& session, double temperature) {
  std::vector<double> result;
  const auto first = softmax_after(session, {1, 2}, temperature);
  for (int64_t a = 0; a < 5; ++a) {
    const auto second = softmax_after(session, {1, 2, a}, temperature);
    for (int64_t b = 0; b < 5; ++b) {
      const auto third = softmax_after(session, {1, 2, a, b}, temperature);
      for (int64_t c = 0; c < 5; ++c) {
        result.push_back(first[static_cast<size_t>(a)] * second[static_cast<size_t>(b)] *
                         third[static_cast<size_t>(c)]);
      }
    }
  }
  return result;
}

constexpr int64_t kRuns = 40'000;
constexpr double kTemperature = 2.5;  // so that no bin is too rare

// How often each of three tokens comes with seeds 0, 1, 2, ...
std::vector<int64_t> count_three_tokens(const GenerationConfig& config, const std::string& draft_name,
                                        int64_t runs = kRuns, const std::string& name = "toy") {
  std::vector<int64_t> counts(125);
  for (int64_t seed = 0; seed < runs; ++seed) {
    toy::TableSession session(5, 64, name);
    toy::TableSession draft(5, 64, draft_name.empty() ? "toy" : draft_name);
    GenerationHooks hooks;
    if (!draft_name.empty()) hooks.draft = &draft;
    const auto tokens = generate(session, {{1, 2}}, config.with({.seed = seed}), hooks).tokens[0];
    ++counts[static_cast<size_t>(25 * tokens[0] + 5 * tokens[1] + tokens[2])];
  }
  return counts;
}

const GenerationConfig kThreeTokens{.max_new_tokens = 3, .do_sample = true, .temperature = kTemperature, .top_k = 0};

TEST(Sampling, TextsAreDistributedAsTheModelSays) {
  const toy::TableSession model(5);
  const auto expected = three_tokens(model, kTemperature);
  EXPECT_LT(toy::chi_square(count_three_tokens(kThreeTokens, ""), expected), toy::chi_square_limit(124));
  // The same test sees that another model's texts are not this one's.
  EXPECT_GT(toy::chi_square(count_three_tokens(kThreeTokens, "", 4000, "other"), expected),
            3 * toy::chi_square_limit(124));
}

TEST(Sampling, SpeculativeTextsAreDistributedAsTheModelSays) {
  const toy::TableSession model(5);
  const auto expected = three_tokens(model, kTemperature);
  // Drafts of a model that has little to do with this one, so that many tokens fall.
  for (const int64_t drafted : {1, 2, 5}) {
    const auto config = kThreeTokens.with({.num_assistant_tokens = drafted, .assistant_confidence_threshold = 0.0});
    EXPECT_LT(toy::chi_square(count_three_tokens(config, "other"), expected), toy::chi_square_limit(124)) << drafted;
  }
  // With a threshold, the length of a draft depends on its tokens.
  const auto config = kThreeTokens.with({.assistant_confidence_threshold = 0.25});
  EXPECT_LT(toy::chi_square(count_three_tokens(config, "other"), expected), toy::chi_square_limit(124));
}

TEST(Sampling, TextsFromLookUpAreTheSameAsWithout) {
  for (int64_t seed = 0; seed < 200; ++seed) {
    const GenerationConfig config{.max_new_tokens = 20, .do_sample = true, .seed = seed, .top_k = 3};
    toy::TableSession plain(5), assisted(5);
    EXPECT_EQ(generate(plain, {{1, 2, 1, 2}}, config).tokens,
              generate(assisted, {{1, 2, 1, 2}}, config.with({.prompt_lookup_num_tokens = 4})).tokens);
  }
}

TEST(Sampling, TheSameInEveryBatchAndForEveryNumberOfThreads) {
  const std::vector<std::vector<int64_t>> prompts{{1}, {3, 4, 7}, {5, 6}, {2, 2, 2, 2}, {1}};
  const int threads = num_threads();
  for (const int64_t beams : {1, 3}) {
    const GenerationConfig config{.max_new_tokens = 15,
                                  .do_sample = true,
                                  .num_beams = beams,
                                  .seed = 7,
                                  .top_p = 0.9,
                                  .num_return_sequences = 2,
                                  .eos_token_id = 5};
    set_num_threads(1);
    toy::TableSession together;
    const auto all = generate(together, prompts, config).tokens;
    set_num_threads(4);
    toy::TableSession threaded;
    EXPECT_EQ(generate(threaded, prompts, config).tokens, all);
    for (size_t i = 0; i < prompts.size(); ++i) {
      toy::TableSession alone;
      const auto own = generate(alone, {prompts[i]}, config).tokens;
      EXPECT_EQ(own[0], all[2 * i]);
      EXPECT_EQ(own[1], all[2 * i + 1]);
    }
    EXPECT_EQ(all[0], all[8]) << "the same prompt twice";
    EXPECT_NE(all[0], all[1]) << "two texts of one prompt";
    toy::TableSession other;
    EXPECT_NE(generate(other, prompts, config.with({.seed = 8})).tokens, all);
  }
  set_num_threads(threads);
}

TEST(Sampling, WithoutASeedTheThreadsGeneratorDecides) {
  const GenerationConfig config{.max_new_tokens = 15, .do_sample = true};
  const auto run = [&config] {
    toy::TableSession session;
    return generate(session, {{1, 2}}, config).tokens;
  };
  manual_seed(11);
  const auto first = run(), second = run();
  EXPECT_NE(first, second);
  manual_seed(11);
  EXPECT_EQ(run(), first);
  EXPECT_EQ(run(), second);
}

// Two beams, one token, no end: four candidates are drawn without putting back, and the two best of them are the texts.
void expect_draws_without_putting_back(double temperature) {
  constexpr size_t vocab = 6;
  const toy::TableSession model(vocab);
  const auto p = softmax_after(model, {1, 2}, temperature);
  std::map<std::pair<size_t, size_t>, double> expected;
  for (size_t a = 0; a < vocab; ++a) {
    for (size_t b = 0; b < vocab; ++b) {
      for (size_t c = 0; c < vocab; ++c) {
        for (size_t d = 0; d < vocab; ++d) {
          if (std::set<size_t>{a, b, c, d}.size() < 4) continue;
          std::vector<size_t> drawn{a, b, c, d};
          std::sort(drawn.begin(), drawn.end(), [&](size_t x, size_t y) { return p[x] > p[y]; });
          expected[{drawn[0], drawn[1]}] +=
              p[a] * p[b] / (1 - p[a]) * p[c] / (1 - p[a] - p[b]) * p[d] / (1 - p[a] - p[b] - p[c]);
        }
      }
    }
  }
  std::map<std::pair<size_t, size_t>, int64_t> seen;
  for (int64_t seed = 0; seed < kRuns; ++seed) {
    toy::TableSession session(vocab);
    const auto tokens = generate(session, {{1, 2}},
                                 {.max_new_tokens = 1,
                                  .do_sample = true,
                                  .num_beams = 2,
                                  .seed = seed,
                                  .temperature = temperature,
                                  .top_k = 0,
                                  .num_return_sequences = 2})
                            .tokens;
    ++seen[{static_cast<size_t>(tokens[0][0]), static_cast<size_t>(tokens[1][0])}];
  }
  std::vector<int64_t> counts;
  std::vector<double> wanted;
  for (const auto& [pair, probability] : expected) {
    counts.push_back(seen[pair]);
    wanted.push_back(probability);
    seen.erase(pair);
  }
  EXPECT_TRUE(seen.empty());
  // Pairs too rare for the statistic stand as one.
  std::vector<int64_t> often{0};
  std::vector<double> expected_often{0};
  for (size_t i = 0; i < counts.size(); ++i) {
    if (wanted[i] * kRuns < 8) {
      often[0] += counts[i];
      expected_often[0] += wanted[i];
    } else {
      often.push_back(counts[i]);
      expected_often.push_back(wanted[i]);
    }
  }
  EXPECT_LT(toy::chi_square(often, expected_often), toy::chi_square_limit(static_cast<int64_t>(often.size()) - 1))
      << temperature;
}

TEST(Sampling, BeamsAreDrawnWithoutPuttingBack) {
  expect_draws_without_putting_back(4);
  expect_draws_without_putting_back(0.4);  // so that what was drawn is drawn again and again
}

}  // namespace
}  // namespace mica
