// Every pipeline against what transformers' pipelines give on the same tiny models (tests/pipelines/data).

#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/models/pipelines/pipeline.h"

namespace mica {
namespace {

constexpr double kTolerance = 2e-6;

// Runs `check(folder, case)` for every case of every model in a data file.
template <typename Check>
void for_each_case(const std::string& name, Check check) {
  const Json data = tiny::read_data(name);
  for (size_t m = 0; m < data.at("models").size(); ++m) {
    const tiny::TemporaryFolder folder;
    tiny::write_model(folder.path(), data, m);
    for (const Json& each : data["models"][m].at("cases")) {
      SCOPED_TRACE(name + " " + std::to_string(m) + " " + each.dump().substr(0, 120));
      check(folder.path(), each);
    }
  }
}

void expect_same(const std::string& have, const Json& wanted) {
  EXPECT_EQ(tiny::difference(parse_json(have, "result"), wanted, kTolerance), "");
}

template <typename T>
std::optional<T> optional(const Json& options, const char* key) {
  return options.contains(key) && !options[key].is_null() ? std::optional<T>(options[key].get<T>()) : std::nullopt;
}

TEST(Pipelines, TextClassification) {
  for_each_case("text_classification", [](const std::string& folder, const Json& each) {
    const TextClassificationPipeline classifier(folder, {.device = test::test_device()});
    const Json& options = each.at("options");
    TextClassificationOptions call;
    if (options.contains("top_k")) call.top_k = optional<int64_t>(options, "top_k");
    if (options.contains("function")) {
      call.function_to_apply = score_function_from_name(options["function"].get<std::string>());
    }
    const auto text = each.at("text").get<std::string>();
    const std::vector<LabelScore> result = each.contains("pair")
                                               ? classifier(TextPair{text, each["pair"].get<std::string>()}, call)
                                               : classifier(text, call);
    expect_same(options.contains("top_k") ? to_json(result) : to_json(result.at(0)), each.at("expected"));
  });
}

TEST(Pipelines, TokenClassification) {
  for_each_case("token_classification", [](const std::string& folder, const Json& each) {
    const TokenClassificationPipeline tagger(folder, {.device = test::test_device()});
    const Json& options = each.at("options");
    TokenClassificationOptions call;
    call.aggregation_strategy = aggregation_from_name(options.at("aggregation").get<std::string>());
    if (options.contains("ignore")) call.ignore_labels = options["ignore"].get<std::vector<std::string>>();
    call.stride = optional<int64_t>(options, "stride");
    expect_same(to_json(tagger(each.at("text").get<std::string>(), call)), each.at("expected"));
  });
}

TEST(Pipelines, QuestionAnswering) {
  for_each_case("question_answering", [](const std::string& folder, const Json& each) {
    const QuestionAnsweringPipeline reader(folder, {.device = test::test_device()});
    const Json& options = each.at("options");
    QuestionAnsweringOptions call;
    call.top_k = options.value("top_k", int64_t{1});
    call.max_answer_len = options.value("max_answer_len", int64_t{15});
    call.doc_stride = optional<int64_t>(options, "doc_stride");
    call.max_seq_len = optional<int64_t>(options, "max_seq_len");
    call.handle_impossible_answer = options.value("handle_impossible_answer", false);
    call.align_to_words = options.value("align_to_words", true);
    const std::vector<Answer> answers =
        reader(each.at("question").get<std::string>(), each.at("context").get<std::string>(), call);
    expect_same(answers.size() == 1 ? to_json(answers[0]) : to_json(answers), each.at("expected"));
  });
}

TEST(Pipelines, FillMask) {
  for_each_case("fill_mask", [](const std::string& folder, const Json& each) {
    const WarningCatcher catcher;
    const FillMaskPipeline unmasker(folder, {.device = test::test_device()});
    const Json& options = each.at("options");
    FillMaskOptions call;
    call.top_k = options.value("top_k", int64_t{5});
    if (options.contains("targets")) call.targets = options["targets"].get<std::vector<std::string>>();
    expect_same(to_json(unmasker(each.at("text").get<std::string>(), call)), each.at("expected"));
  });
}

TEST(Pipelines, FeatureExtraction) {
  for_each_case("feature_extraction", [](const std::string& folder, const Json& each) {
    const FeatureExtractionPipeline extractor(folder, {.device = test::test_device()});
    EXPECT_EQ(tiny::difference(parse_json(features_to_json(extractor(each.at("text").get<std::string>())), "result"),
                               each.at("expected"), 1e-5),
              "");
  });
}

TEST(Pipelines, BatchesGiveTheSameBitsInTheInputsOrder) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "sequence_classification", {"A", "B", "C"});
  const TextClassificationPipeline classifier(folder.path(), {.device = test::test_device()});
  const std::vector<std::string> texts{"ada", "the river of turin is in a valley", "", "who lives?", "who lives?"};
  std::vector<std::pair<int64_t, int64_t>> seen;
  const auto all = classifier(
      texts, {.batch_size = 2, .progress = [&](int64_t done, int64_t total) { seen.emplace_back(done, total); }});
  ASSERT_EQ(all.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto alone = classifier(texts[i]);
    EXPECT_EQ(all[i][0].label, alone[0].label);
    EXPECT_EQ(all[i][0].score, alone[0].score) << i;
  }
  EXPECT_EQ(seen, (std::vector<std::pair<int64_t, int64_t>>{{2, 5}, {4, 5}, {5, 5}}));
  EXPECT_TRUE(classifier(std::vector<std::string>{}).empty());
}

TEST(Pipelines, ByName) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "sequence_classification", {"A", "B"});
  const WarningCatcher catcher;
  const auto any = pipeline("sentiment-analysis", folder.path());
  EXPECT_EQ(any("ada").get<std::vector<LabelScore>>().size(), 1U);
  EXPECT_EQ(any("ada", "turin").get<std::vector<LabelScore>>().size(), 1U);
  const TextClassificationPipeline typed = pipeline("text-classification", folder.path());
  EXPECT_EQ(typed("ada")[0].label, any("ada").get<std::vector<LabelScore>>()[0].label);
  EXPECT_EQ(typed({"ada", "turin"}).size(), 2U);
  EXPECT_TRUE(catcher.messages().empty());
  EXPECT_THROW({ const FillMaskPipeline wrong = any; }, Error);
  EXPECT_THROW(pipeline("image-segmentation", folder.path()), Error);
  EXPECT_THROW(pipeline("question-answering", folder.path())("one text"), Error);
  const auto answers = pipeline("question-answering", folder.path());  // with a new head
  EXPECT_EQ(catcher.messages().size(), 4U);                            // twice: a new head, an unused one
  EXPECT_FALSE(answers("who?", "ada").to_json().empty());
}

// A text that is not UTF-8, an unusable option, or a missing mask is an Error; what is too long is cut with one
// warning.
TEST(Pipelines, BadInput) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "masked_lm");
  const WarningCatcher catcher;
  const FillMaskPipeline unmasker(folder.path(), {.device = test::test_device()});
  EXPECT_THROW(unmasker("no mask"), Error);
  EXPECT_THROW(unmasker("[MASK] \xff"), Error);
  EXPECT_THROW(unmasker(""), Error);
  EXPECT_THROW(unmasker("[MASK]", {.top_k = 0}), Error);
  EXPECT_THROW(unmasker("[MASK]", {.batch_size = 0}), Error);
  EXPECT_THROW(unmasker("[MASK]", {.targets = {""}}), Error);
  EXPECT_EQ(unmasker("[MASK]", {.top_k = 1'000'000})[0].size(), 93U);
  const size_t before = catcher.messages().size();
  std::string text = "[MASK]";
  for (int i = 0; i < 100; ++i) text += " river";
  EXPECT_EQ(unmasker({text, text})[1].size(), 1U);
  ASSERT_EQ(catcher.messages().size(), before + 1);
  EXPECT_NE(catcher.messages().back().find("cut"), std::string::npos);
  EXPECT_THROW(pipeline("question-answering", folder.path())("", "context"), Error);
  EXPECT_THROW(pipeline("question-answering", folder.path())(text, "context"), Error);  // no room for the context
  EXPECT_THROW(TokenClassificationPipeline(folder.path())("ada", {.stride = 2}), Error);
  EXPECT_THROW(aggregation_from_name("mean"), Error);
  EXPECT_THROW(score_function_from_name("tanh"), Error);
}

}  // namespace
}  // namespace mica
