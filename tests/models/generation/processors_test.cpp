// Logits processors against transformers' (data/generation/processors.json).

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/generation_config.h"
#include "mica/models/generation/logits_processor.h"
#include "mica/models/generation/scores.h"
#include "mica/tests/support/golden.h"

namespace mica {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float number(const Json& value) {
  if (value == "Infinity") return kInfinity;
  if (value == "-Infinity") return -kInfinity;
  if (value == "NaN") return std::numeric_limits<float>::quiet_NaN();
  return value.get<float>();
}

void apply(const GenerationConfig& config, int64_t vocab, const RowText& row, std::span<float> scores,
           ProcessorScratch& scratch) {
  for (const auto& list :
       {ProcessorLists::rules(config, vocab), ProcessorLists::cuts(config), ProcessorLists::last(config)}) {
    for (const auto& processor : list) processor->process(row, scores, scratch);
  }
}

TEST(LogitsProcessors, AgreeWithTheReference) {
  const Json cases = read_json_file(MICA_SOURCE_DIR "/tests/models/data/generation/processors.json");
  ASSERT_GT(cases.size(), 40U);
  ProcessorScratch scratch;  // shared, as by the steps of a text
  for (const Json& each : cases) {
    const std::string name = each["name"];
    SCOPED_TRACE(name);
    const auto vocab = each["vocab"].get<int64_t>();
    const auto config = GenerationConfig::from_json(each["settings"].dump(), name).resolved();
    std::vector<float> scores;
    for (int64_t i = 0; i < vocab; ++i) {
      scores.push_back(each["scale"].get<float>() * static_cast<float>(golden::uniform("scores." + name, i)));
    }
    if (each["invalid"].get<bool>()) {
      scores[3] = std::numeric_limits<float>::quiet_NaN();
      scores[4] = kInfinity;
      scores[5] = -kInfinity;
    }
    const auto ids = each["ids"].get<std::vector<int64_t>>(), encoder = each["encoder"].get<std::vector<int64_t>>();
    const RowText row{ids, each["prompt"].get<int64_t>(), config.max_length.value_or(20), encoder};
    apply(config, vocab, row, scores, scratch);
    for (size_t i = 0; i < scores.size(); ++i) {
      const float wanted = number(each["scores"][i]);
      if (std::isinf(wanted) || std::isinf(scores[i])) {
        EXPECT_EQ(scores[i], wanted) << i;
      } else {
        // At most about ten roundings, each of half a unit in the last place of something not much larger.
        EXPECT_NEAR(scores[i], wanted, 1.2e-6F * std::max(1.0F, std::abs(wanted))) << i;
      }
    }
  }
}

TEST(LogitsProcessors, TheOrderOfTheLargest) {
  std::vector<float> scores;
  for (int64_t i = 0; i < 5000; ++i) scores.push_back(std::floor(40 * static_cast<float>(golden::uniform("ties", i))));
  for (const bool later_first : {false, true}) {
    std::vector<int64_t> all(scores.size()), found;
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
    std::sort(all.begin(), all.end(), [&](int64_t a, int64_t b) {
      const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
      return x != y ? x > y : later_first ? a > b : a < b;
    });
    for (const int64_t count : {0, 1, 7, 64, 300, 4999, 5000, 9000}) {
      scores::largest(scores, count, found, later_first);
      const auto size = static_cast<size_t>(std::min<int64_t>(count, 5000));
      EXPECT_EQ(found, std::vector<int64_t>(all.begin(), all.begin() + static_cast<ptrdiff_t>(size))) << count;
    }
  }
}

TEST(LogitsProcessors, ADrawFallsOnItsShare) {
  const std::vector<float> weights{0, 1, 0, 2, 1, 0};
  EXPECT_EQ(scores::draw(weights, 0), 1);
  EXPECT_EQ(scores::draw(weights, 0.2499), 1);
  EXPECT_EQ(scores::draw(weights, 0.25), 3);
  EXPECT_EQ(scores::draw(weights, 0.7499), 3);
  EXPECT_EQ(scores::draw(weights, 0.75), 4);
  EXPECT_EQ(scores::draw(weights, std::nextafter(1.0, 0.0)), 4);
  EXPECT_THROW(scores::draw(std::vector<float>{0, 0}, 0.5), Error);
  EXPECT_THROW(scores::draw(std::vector<float>{0, std::nanf("")}, 0.5), Error);
}

TEST(LogitsProcessors, IdsBeyondTheVocabularyAreRefusedOrHarmless) {
  EXPECT_THROW(logits::sequence_bias({{{99}, 1}}, 16), Error);
  EXPECT_THROW(logits::no_bad_words({{1, 99}}, {}, 16), Error);
  EXPECT_THROW(logits::forced_bos_token(99, 16), Error);
  EXPECT_THROW(logits::forced_eos_token({99}, 16), Error);
  // A prompt may hold ids that have no logit (those of images, say).
  std::vector<float> row(4, 1.0F);
  const std::vector<int64_t> ids{9, 2, 9, 2};
  ProcessorScratch scratch;
  logits::repetition_penalty(2)->process({ids, 1, 9, {}}, row, scratch);
  EXPECT_EQ(row, (std::vector<float>{1, 1, 0.5F, 1}));
  logits::no_repeat_ngram(1)->process({ids, 1, 9, {}}, row, scratch);
  EXPECT_EQ(row, (std::vector<float>{1, 1, -kInfinity, 1}));
  logits::suppress_tokens({77, 0})->process({ids, 1, 9, {}}, row, scratch);
  EXPECT_EQ(row, (std::vector<float>{-kInfinity, 1, -kInfinity, 1}));
}

}  // namespace
}  // namespace mica
