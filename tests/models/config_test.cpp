#include "mica/models/config.h"

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/models/auto/auto_config.h"

namespace mica {
namespace {

TEST(Config, ReadsFieldsFromTheFileAndFromTheFamilysDefaults) {
  const Config config = AutoConfig::from_json(R"({"model_type": "bert", "hidden_size": 384})");
  EXPECT_EQ(config.hidden_size.value(), 384);
  EXPECT_EQ(config.num_hidden_layers.value(), 12);
  EXPECT_EQ(config.hidden_act.value(), "gelu");
  EXPECT_EQ(config.layer_norm_eps.value(), 1e-12);
}

TEST(Config, KnowsAFamilysOwnSpelling) {
  Config config = AutoConfig::from_json(R"({"model_type": "distilbert", "dim": 64})");
  EXPECT_EQ(config.hidden_size.value(), 64);
  config.hidden_size = 96;
  EXPECT_EQ(config.integer("dim"), 96);
  EXPECT_NE(config.to_json().find("\"dim\": 96"), std::string::npos);
}

TEST(Config, KeepsUnknownKeysAndTheirOrder) {
  const Config config = AutoConfig::from_json(R"({"zeta": [1, {"a": null}], "model_type": "bert", "alpha": "x"})");
  const std::string text = config.to_json();
  EXPECT_LT(text.find("zeta"), text.find("model_type"));
  EXPECT_LT(text.find("model_type"), text.find("alpha"));
}

TEST(Config, CopiesAreIndependent) {
  Config a = AutoConfig::for_model("bert");
  Config b = a;
  b.hidden_size = 8;
  EXPECT_EQ(a.hidden_size.value(), 768);
  EXPECT_EQ(b.hidden_size.value(), 8);
  a = b;
  EXPECT_EQ(a.hidden_size.value(), 8);
}

TEST(Config, NamesLabels) {
  Config config = AutoConfig::for_model("bert");
  EXPECT_EQ(config.num_labels.value(), 2);
  config.num_labels = 3;
  EXPECT_EQ(config.labels(), (std::vector<std::string>{"LABEL_0", "LABEL_1", "LABEL_2"}));
  config.set_labels({"no", "yes"});
  EXPECT_EQ(config.num_labels.value(), 2);
  EXPECT_EQ(config.labels()[1], "yes");
}

TEST(Config, RefusesWhatIsWrong) {
  for (const char* text :
       {"", "[]", "{}", R"({"model_type": "no-such-model"})", R"({"model_type": 3})", "{\"model_type\""}) {
    EXPECT_THROW(AutoConfig::from_json(text), Error) << text;
  }
  for (const char* text :
       {R"({"model_type": "bert", "hidden_size": "x"})", R"({"model_type": "bert", "hidden_size": 1.5})",
        R"({"model_type": "bert", "hidden_size": 1e300})", R"({"model_type": "bert", "hidden_size": null})"}) {
    const Config config = AutoConfig::from_json(text);
    EXPECT_THROW(config.integer("hidden_size"), Error) << text;
  }
  for (const char* labels : {"[]", "{}", R"({"0": 1})", R"({"1": "a"})", R"({"x": "a"})", R"({"": "a"})"}) {
    const Config config = AutoConfig::from_json(std::string(R"({"model_type": "bert", "id2label": )") + labels + "}");
    EXPECT_THROW(config.labels(), Error) << labels;
  }
}

TEST(Config, ErrorsNameFileAndKey) {
  const Config config = AutoConfig::from_json(R"({"model_type": "bert", "hidden_size": -1})", "some/config.json");
  try {
    config.integer_in("hidden_size", 1, 100);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "some/config.json");
    EXPECT_NE(error.problem().find("hidden_size"), std::string::npos);
    EXPECT_NE(error.problem().find("-1"), std::string::npos);
  }
}

}  // namespace
}  // namespace mica
