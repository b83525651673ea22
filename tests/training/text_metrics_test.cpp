#include <cmath>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/training/support.h"
#include "mica/training/metrics/bleu.h"
#include "mica/training/metrics/chrf.h"
#include "mica/training/metrics/error_rate.h"
#include "mica/training/metrics/porter.h"
#include "mica/training/metrics/rouge.h"
#include "mica/training/metrics/squad.h"

namespace mica {
namespace {

// Scores are at most 100; the references' are rounded to 15 digits, and added up in another order.
constexpr double kTolerance = 1e-11;

using Texts = std::vector<std::string>;

Texts column(const Json& pairs, size_t which) {
  Texts texts;
  for (const Json& each : pairs) texts.push_back(each[which]);
  return texts;
}

TEST(Metrics, RougeIsRougeScores) {
  const Json data = test::reference("metrics.json");
  const Texts p = column(data["texts"], 0), y = column(data["texts"], 1);
  for (const bool stem : {false, true}) {
    double mean = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      SCOPED_TRACE(p[i]);
      const RougeScores got = rouge_scores(p[i], y[i], stem);
      const Json& want = data["rouge"][stem ? 1 : 0][i];
      const RougeScore* const all[] = {&got.rouge1, &got.rouge2, &got.rouge_l, &got.rouge_lsum};
      for (size_t k = 0; k < 4; ++k) {
        EXPECT_NEAR(all[k]->precision, want[k][0].get<double>(), kTolerance) << k;
        EXPECT_NEAR(all[k]->recall, want[k][1].get<double>(), kTolerance) << k;
        EXPECT_NEAR(all[k]->f1, want[k][2].get<double>(), kTolerance) << k;
      }
      mean += got.rouge_l.f1 / static_cast<double>(y.size());
    }
    EXPECT_NEAR(rouge_scores(p, y, stem).rouge_l.f1, mean, kTolerance);
  }
  EXPECT_THROW(rouge_scores(Texts{}, Texts{}), Error);
  EXPECT_THROW(rouge_scores(p, Texts{"a"}), Error);
}

TEST(Metrics, StemsAreNltks) {
  const Json data = test::reference("metrics.json");
  EXPECT_GT(data["stems"].size(), 100U);
  for (const auto& [word, stem] : data["stems"].items()) EXPECT_EQ(porter_stem(word), stem.get<std::string>()) << word;
}

BleuOptions bleu_options(const Json& options) {
  BleuOptions result;
  if (options.contains("tokenize")) result.tokenizer = bleu_tokenizer(options["tokenize"].get<std::string>());
  if (options.contains("lowercase")) result.lowercase = options["lowercase"];
  if (options.contains("max_ngram_order")) result.max_order = options["max_ngram_order"];
  const std::string smoothing = options.value("smooth_method", "exp");
  result.smoothing = smoothing == "none"    ? BleuSmoothing::none
                     : smoothing == "floor" ? BleuSmoothing::floor
                     : smoothing == "add-k" ? BleuSmoothing::add_k
                                            : BleuSmoothing::exp;
  return result;
}

TEST(Metrics, BleuIsSacrebleus) {
  const Json data = test::reference("metrics.json");
  const Texts p = column(data["texts"], 0);
  const Json& want = data["translation"];
  const auto y = want["references"].get<std::vector<Texts>>();
  for (const Json& each : want["bleu"]) {
    SCOPED_TRACE(each["options"].dump());
    const Bleu got = bleu(p, y, bleu_options(each["options"]));
    EXPECT_NEAR(got.score, each["score"].get<double>(), kTolerance);
    EXPECT_NEAR(got.brevity_penalty, each["bp"].get<double>(), kTolerance);
    EXPECT_EQ(got.prediction_words, each["lengths"][0].get<int64_t>());
    EXPECT_EQ(got.reference_words, each["lengths"][1].get<int64_t>());
    ASSERT_EQ(got.precisions.size(), each["precisions"].size());
    for (size_t n = 0; n < got.precisions.size(); ++n) {
      EXPECT_NEAR(got.precisions[n], each["precisions"][n].get<double>(), kTolerance);
    }
  }
  for (size_t i = 0; i < p.size(); ++i) {
    EXPECT_NEAR(bleu({p[i]}, {y[i]}, {.effective_order = true}).score, want["sentence"][i][0].get<double>(), kTolerance)
        << p[i];
    EXPECT_NEAR(bleu({p[i]}, {y[i]}, {.smoothing = BleuSmoothing::none}).score, want["sentence"][i][1].get<double>(),
                kTolerance)
        << p[i];
  }
  EXPECT_THROW(bleu({"a"}, {{}}), Error);
  EXPECT_THROW(bleu({"a"}, {}), Error);
  EXPECT_THROW(bleu({"a"}, {{"a"}}, {.max_order = 0}), Error);
}

TEST(Metrics, BleuSplitsAsSacrebleuDoes) {
  const Json data = test::reference("metrics.json");
  const Json& want = data["translation"];
  Texts texts = column(data["texts"], 0);
  for (const Json& each : want["references"]) texts.push_back(each[0]);
  const BleuTokenizer tokenizers[] = {BleuTokenizer::v13a, BleuTokenizer::intl, BleuTokenizer::character};
  for (size_t t = 0; t < 3; ++t) {
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(bleu_words(texts[i], tokenizers[t]), want["tokens"][t][i].get<Texts>()) << t << ": " << texts[i];
    }
  }
  EXPECT_THROW(bleu_tokenizer("13b"), Error);
}

TEST(Metrics, ChrfIsSacrebleus) {
  const Json data = test::reference("metrics.json");
  const Texts p = column(data["texts"], 0);
  const Json& want = data["translation"];
  const auto y = want["references"].get<std::vector<Texts>>();
  for (const Json& each : want["chrf"]) {
    const Json& options = each["options"];
    const ChrfOptions chosen{.character_order = options.value("char_order", 6),
                             .word_order = options.value("word_order", 0),
                             .beta = options.value("beta", 2.0),
                             .lowercase = options.value("lowercase", false),
                             .whitespace = options.value("whitespace", false),
                             .eps_smoothing = options.value("eps_smoothing", false)};
    EXPECT_NEAR(chrf(p, y, chosen), each["score"].get<double>(), kTolerance) << options;
  }
  EXPECT_THROW(chrf({"a"}, {{}}), Error);
  EXPECT_THROW(chrf({"a"}, {{"a"}}, {.character_order = 0}), Error);
}

TEST(Metrics, ErrorRatesAreJiwers) {
  const Json data = test::reference("metrics.json")["transcripts"];
  const auto p = data["p"].get<Texts>(), y = data["y"].get<Texts>();
  EXPECT_NEAR(word_error_rate(p, y), data["wer"].get<double>(), kTolerance);
  EXPECT_NEAR(character_error_rate(p, y), data["cer"].get<double>(), kTolerance);
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_NEAR(word_error_rate({p[i]}, {y[i]}), data["each"][i][0].get<double>(), kTolerance) << y[i];
    EXPECT_NEAR(character_error_rate({p[i]}, {y[i]}), data["each"][i][1].get<double>(), kTolerance) << y[i];
  }
  EXPECT_THROW(word_error_rate({"a"}, {" "}), Error);
  EXPECT_THROW(character_error_rate({}, {}), Error);
  EXPECT_DOUBLE_EQ(perplexity(std::log(32)), 32);
}

TEST(Metrics, AnswersAreScoredAsByTheSquadScript) {
  const Json data = test::reference("metrics.json")["squad"];
  const auto p = data["p"].get<Texts>();
  const auto y = data["y"].get<std::vector<Texts>>();
  for (size_t i = 0; i < p.size(); ++i) {
    EXPECT_EQ(normalize_answer(p[i]), data["normalized"][i].get<std::string>());
    const AnswerScores one = answer_scores({p[i]}, {y[i]});
    EXPECT_NEAR(one.exact_match, 100 * data["em"][i].get<double>(), kTolerance) << p[i];
    EXPECT_NEAR(one.f1, 100 * data["f1"][i].get<double>(), kTolerance) << p[i];
  }
  const AnswerScores all = answer_scores(p, y);
  EXPECT_NEAR(all.exact_match, data["exact_match"].get<double>(), kTolerance);
  EXPECT_NEAR(all.f1, data["mean_f1"].get<double>(), kTolerance);
  EXPECT_EQ(exact_match("The cat.", "cat"), 1);
  EXPECT_NEAR(answer_f1("a black cat", "black dog"), 0.5, kTolerance);
  EXPECT_THROW(answer_scores({}, {}), Error);
}

}  // namespace
}  // namespace mica
