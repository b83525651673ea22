#include <cmath>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/training/support.h"
#include "mica/training/metrics/classification.h"
#include "mica/training/metrics/correlation.h"
#include "mica/training/metrics/entities.h"
#include "mica/training/metrics/retrieval.h"

namespace mica {
namespace {

// The references' numbers are rounded to 15 digits, and added up in another order.
constexpr double kTolerance = 1e-13;

void expect_scores(const PrecisionRecallF1& got, const Json& want, const char* what) {
  EXPECT_NEAR(got.precision, want[0].get<double>(), kTolerance) << what;
  EXPECT_NEAR(got.recall, want[1].get<double>(), kTolerance) << what;
  EXPECT_NEAR(got.f1, want[2].get<double>(), kTolerance) << what;
}

TEST(Metrics, ClassificationIsScikitLearns) {
  const Json data = test::reference("metrics.json");
  for (const Json& each : data["classification"]) {
    SCOPED_TRACE(each.dump().substr(0, 100));
    const auto p = each["p"].get<std::vector<int64_t>>(), y = each["y"].get<std::vector<int64_t>>();
    EXPECT_NEAR(accuracy(p, y), each["accuracy"].get<double>(), kTolerance);
    EXPECT_NEAR(matthews_correlation(p, y), each["matthews"].get<double>(), kTolerance);
    expect_scores(precision_recall_f1(p, y, Average::micro), each["micro"], "micro");
    expect_scores(precision_recall_f1(p, y, Average::macro), each["macro"], "macro");
    expect_scores(precision_recall_f1(p, y, Average::weighted), each["weighted"], "weighted");
    if (each.contains("binary")) {
      expect_scores(precision_recall_f1(p, y), each["binary"], "binary");
    } else {
      EXPECT_THROW(precision_recall_f1(p, y), Error);
    }
    const std::vector<ClassScore> classes = class_scores(p, y);
    ASSERT_EQ(classes.size(), each["classes"][0].size());
    for (size_t c = 0; c < classes.size(); ++c) {
      expect_scores(classes[c].score, Json{each["classes"][0][c], each["classes"][1][c], each["classes"][2][c]},
                    "class");
      EXPECT_EQ(static_cast<double>(classes[c].score.support), each["classes"][3][c].get<double>());
    }
  }
  const std::vector<int64_t> none, one{1};
  EXPECT_THROW(accuracy(none, none), Error);
  EXPECT_THROW(accuracy(none, one), Error);
}

TEST(Metrics, CorrelationsAreScipys) {
  const Json data = test::reference("metrics.json");
  for (const Json& each : data["correlation"]) {
    const auto x = each["x"].get<std::vector<double>>(), y = each["y"].get<std::vector<double>>();
    EXPECT_NEAR(pearson_correlation(x, y), each["pearson"].get<double>(), kTolerance);
    EXPECT_NEAR(spearman_correlation(x, y), each["spearman"].get<double>(), kTolerance);
  }
  const std::vector<double> constant{2, 2, 2}, rising{1, 2, 3}, bad{1, std::nan(""), 3}, short_one{1};
  EXPECT_TRUE(std::isnan(pearson_correlation(constant, rising)));
  EXPECT_TRUE(std::isnan(spearman_correlation(rising, constant)));
  EXPECT_TRUE(std::isnan(spearman_correlation(rising, bad)));
  EXPECT_THROW(pearson_correlation(rising, short_one), Error);
  EXPECT_THROW(pearson_correlation(short_one, short_one), Error);
  EXPECT_EQ(ranks(std::vector<double>{5, 1, 5, 3}), (std::vector<double>{3.5, 1, 3.5, 2}));
}

TEST(Metrics, EntitiesAreSeqevals) {
  const Json data = test::reference("metrics.json");
  for (const Json& each : data["entities"]) {
    const auto name = each["scheme"].get<std::string>();
    SCOPED_TRACE(name);
    const EntityReport report =
        entity_scores(each["p"].get<std::vector<Tags>>(), each["y"].get<std::vector<Tags>>(), entity_scheme(name));
    EXPECT_NEAR(report.accuracy, each["accuracy"].get<double>(), kTolerance);
    expect_scores(report.micro, each["micro"], "micro");
    expect_scores(report.macro, each["macro"], "macro");
    expect_scores(report.weighted, each["weighted"], "weighted");
  }
}

TEST(Metrics, EntitiesLieWhereTheirTagsDo) {
  const Tags tags{"B-PER", "I-PER", "O", "I-LOC", "I-PER", "B-PER"};
  using Entities = std::vector<EntitySpan>;
  EXPECT_EQ(entities(tags), (Entities{{"PER", 0, 2}, {"LOC", 3, 4}, {"PER", 4, 5}, {"PER", 5, 6}}));
  EXPECT_EQ(entities(tags, EntityScheme::iob2), (Entities{{"PER", 0, 2}, {"PER", 5, 6}}));
  EXPECT_EQ(entities({}), Entities{});
  EXPECT_THROW(entities({"S-PER"}, EntityScheme::iob2), Error);
  EXPECT_THROW(entities({""}), Error);
  EXPECT_THROW(entities({""}, EntityScheme::iob1), Error);
  EXPECT_THROW(entity_scheme("IOB3"), Error);
  EXPECT_THROW(entity_scores({{"O"}}, {}), Error);
  EXPECT_THROW(entity_scores({{"O"}}, {{"O", "O"}}), Error);
}

TEST(Metrics, RetrievalIsSentenceTransformers) {
  const Json data = test::reference("metrics.json")["retrieval"];
  const auto relevant = data["relevant"].get<std::vector<DocumentIds>>();
  const auto scores = retrieval_scores(data["ranked"].get<std::vector<DocumentIds>>(), relevant,
                                       data["ks"].get<std::vector<int64_t>>());
  for (size_t i = 0; i < scores.size(); ++i) {
    const Json& want = data["scores"];
    EXPECT_NEAR(scores[i].accuracy, want["accuracy@k"][i].get<double>(), kTolerance);
    EXPECT_NEAR(scores[i].precision, want["precision@k"][i].get<double>(), kTolerance);
    EXPECT_NEAR(scores[i].recall, want["recall@k"][i].get<double>(), kTolerance);
    EXPECT_NEAR(scores[i].mrr, want["mrr@k"][i].get<double>(), kTolerance);
    EXPECT_NEAR(scores[i].ndcg, want["ndcg@k"][i].get<double>(), kTolerance);
    EXPECT_NEAR(scores[i].map, want["map@k"][i].get<double>(), kTolerance);
  }
  EXPECT_THROW(retrieval_scores({{1}}, {{}}), Error);
  EXPECT_THROW(retrieval_scores({{1}}, {}), Error);
  EXPECT_THROW(retrieval_scores({{1}}, {{1}}, {0}), Error);
}

TEST(Metrics, EmbeddingsAreSearchedByTheirAngles) {
  const Tensor queries = Tensor::from(std::vector<float>{2, 0, 0, 3}, {2, 2});
  const Tensor documents = Tensor::from(std::vector<float>{0, 1, 5, 5, 0.1F, 0, -1, 0}, {4, 2});
  // In their order: 2 1 0 3 for the first query, 0 1 2 3 for the second (ties by the row).
  const auto scores = retrieval_scores(queries, documents, {{1}, {0, 2}}, {1, 2, 9});
  EXPECT_DOUBLE_EQ(scores[0].accuracy, 0.5);
  EXPECT_DOUBLE_EQ(scores[1].mrr, (0.5 + 1) / 2);
  EXPECT_DOUBLE_EQ(scores[1].recall, (1 + 0.5) / 2);
  EXPECT_DOUBLE_EQ(scores[2].map, (0.5 + (1 + 2.0 / 3) / 2) / 2);
  EXPECT_THROW(retrieval_scores(queries, documents, {{1}}), Error);

  const Tensor rising = Tensor::from(std::vector<float>{0, 1, 0.5F, 1, 5, 5}, {3, 2});
  const Tensor base = Tensor::from(std::vector<float>{1, 0, 1, 0, 1, 0}, {3, 2});
  EXPECT_DOUBLE_EQ(similarity_correlation(rising, base, std::vector<double>{1, 2, 9}).spearman, 1);
  EXPECT_DOUBLE_EQ(similarity_correlation(rising, base, std::vector<double>{3, 2, 1}).spearman, -1);
  EXPECT_LT(similarity_correlation(rising, base, std::vector<double>{1, 2, 9}).pearson, 1);
}

}  // namespace
}  // namespace mica
