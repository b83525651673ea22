// Zero-shot classification against transformers' pipeline on tiny models (tests/pipelines/data).

#include "mica/models/pipelines/zero_shot_classification.h"

#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/models/pipelines/pipeline.h"

namespace mica {
namespace {

TEST(ZeroShotClassification, GivesWhatTheReferenceGives) {
  set_warning_handler([](const std::string&) {});  // texts that are cut, and no label that begins with "entail"
  const Json data = tiny::read_data("zero_shot_classification");
  for (size_t m = 0; m < data.at("models").size(); ++m) {
    const tiny::TemporaryFolder folder;
    tiny::write_model(folder.path(), data, m);
    const ZeroShotClassificationPipeline classifier(folder.path(), {.device = test::test_device()});
    for (const Json& each : data["models"][m].at("cases")) {
      ZeroShotOptions options;
      options.multi_label = each.at("options").value("multi_label", false);
      options.hypothesis_template = each["options"].value("hypothesis_template", options.hypothesis_template);
      const ZeroShotResult result =
          classifier(each.at("text").get<std::string>(), each.at("labels").get<std::vector<std::string>>(), options);
      EXPECT_EQ(tiny::difference(parse_json(to_json(result), "result"), each.at("expected"), 2e-6), "")
          << m << " " << each.dump().substr(0, 200);
    }
  }
  set_warning_handler({});
}

TEST(ZeroShotClassification, SeveralTextsAndByTheTasksName) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "sequence_classification", {"contradiction", "neutral", "entailment"});
  const ZeroShotClassificationPipeline classifier = pipeline("zero-shot-classification", folder.path());
  const std::vector<std::string> labels{"city", "river"};
  const auto several = classifier(std::vector<std::string>{"ada lives in turin", "who"}, labels);
  ASSERT_EQ(several.size(), 2U);
  EXPECT_EQ(to_json(several[1]), to_json(classifier("who", labels)));
  EXPECT_EQ(to_json(classifier("who", {"city", "river"}, {.batch_size = 1})), to_json(several[1]));
  const Pipeline any = pipeline("zero-shot-classification", folder.path());
  EXPECT_EQ(any("who", " city, river ,").to_json(), to_json(several[1]));
  EXPECT_THROW(any("who"), Error);
  EXPECT_TRUE(classifier(std::vector<std::string>{}, labels).empty());
}

TEST(ZeroShotClassification, BadTemplatesAndLabels) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "sequence_classification", {"contradiction", "neutral", "entailment"});
  const ZeroShotClassificationPipeline classifier(folder.path());
  const std::vector<std::string> labels{"city"};
  for (const char* pattern : {"", "no place", "{{}}", "{} and {}", "{label}", "{", "}", "{1}"}) {
    EXPECT_THROW(classifier("who", labels, {.hypothesis_template = pattern}), Error) << pattern;
  }
  EXPECT_THROW(classifier("who", std::vector<std::string>{}), Error);
  EXPECT_THROW(classifier("\xff", labels), Error);
  EXPECT_EQ(split_labels("a, b c ,,\td"), (std::vector<std::string>{"a", "b c", "d"}));
  EXPECT_TRUE(split_labels(" , ").empty());
}

}  // namespace
}  // namespace mica
