// CrossEncoder against sentence-transformers on tiny models (tests/pipelines/data).

#include "mica/models/pipelines/cross_encoder.h"

#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/warnings.h"

namespace mica {
namespace {

std::vector<TextPair> pairs_of(const Json& each) {
  std::vector<TextPair> pairs;
  for (const Json& document : each.at("documents")) {
    pairs.push_back({each.at("query").get<std::string>(), document.get<std::string>()});
  }
  return pairs;
}

void expect_scores(const Tensor& scores, const Json& wanted) {
  const auto flat = scores.to_vector<float>();
  std::vector<double> expected;
  for (const Json& row : wanted) {
    for (const Json& score : row.is_array() ? row : Json::array({row})) expected.push_back(score.get<double>());
  }
  ASSERT_EQ(flat.size(), expected.size());
  for (size_t i = 0; i < flat.size(); ++i) {
    EXPECT_NEAR(flat[i], expected[i], 4e-6 * std::max(1.0, std::abs(expected[i]))) << i;
  }
}

void check(const CrossEncoder& encoder, const Json& each) {
  const Tensor scores = encoder.predict(pairs_of(each));
  expect_scores(scores, each.at("scores"));
  EXPECT_EQ(scores.rank(), each["scores"][0].is_array() ? 2 : 1);
  EXPECT_EQ(encoder.predict(pairs_of(each)[0]).to_vector<float>(), scores.select(0, 0).to_vector<float>());
  if (each.contains("softmax")) {
    expect_scores(encoder.predict(pairs_of(each), {.activation_fn = ScoreFunction::softmax}), each["softmax"]);
    EXPECT_THROW(encoder.rank("who", {"a", "b"}), Error);
    return;
  }
  const auto documents = each.at("documents").get<std::vector<std::string>>();
  const auto ranked = encoder.rank(each.at("query").get<std::string>(), documents, {.top_k = 3});
  EXPECT_EQ(tiny::difference(parse_json(to_json(ranked), "ranked"), each.at("ranked"), 4e-6), "");
}

TEST(CrossEncoder, GivesWhatTheReferenceGives) {
  set_warning_handler([](const std::string&) {});  // texts that are cut
  const Json data = tiny::read_data("cross_encoder");
  for (size_t m = 0; m < data.at("models").size(); ++m) {
    const tiny::TemporaryFolder folder, saved;
    tiny::write_model(folder.path(), data, m);
    for (const Json& each : data["models"][m].at("cases")) {
      SCOPED_TRACE(std::to_string(m) + " " + each.at("options").dump());
      CrossEncoderOptions options{.device = test::test_device()};
      if (each["options"].contains("max_length")) options.max_length = each["options"]["max_length"].get<int64_t>();
      const CrossEncoder encoder(folder.path(), options);
      check(encoder, each);
      encoder.save_pretrained(saved.path());
      check(CrossEncoder(saved.path(), options), each);
    }
  }
  set_warning_handler({});
}

TEST(CrossEncoder, RanksEqualsInTheirOrder) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "sequence_classification", {"one"});
  const CrossEncoder encoder(folder.path());
  EXPECT_EQ(encoder.num_labels(), 1);
  const auto ranked = encoder.rank("ada", {"river", "river", "river"}, {.batch_size = 2});
  ASSERT_EQ(ranked.size(), 3U);
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(ranked[static_cast<size_t>(i)].corpus_id, i);
  EXPECT_TRUE(encoder.rank("ada", {}).empty());
  EXPECT_THROW(encoder.rank("ada", {"a"}, {.top_k = 0}), Error);
  EXPECT_THROW(encoder.predict(std::vector<TextPair>{{"a", "\xff"}}), Error);
}

TEST(CrossEncoder, WhatItCannotDoIsNamed) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "sequence_classification", {"one"});
  const auto refused = [&](const char* file, const char* content, const char* what) {
    tiny::write_text(folder / file, content);
    try {
      CrossEncoder encoder(folder.path());
      ADD_FAILURE() << file << " " << content;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
    tiny::write_text(folder / file,
                     std::string_view(file) == "modules.json"
                         ? R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}])"
                         : "{}");
  };
  refused("modules.json", "{}", "modules.json");
  refused("modules.json", R"([{"path": "", "type": "a.Transformer"}, {"path": "1", "type": "a.LogitScore"}])",
          "LogitScore");
  refused("config_sentence_transformers.json", R"({"activation_fn": "torch.nn.modules.activation.GELU"})", "GELU");
  refused("config_sentence_transformers.json", R"({"default_prompt_name": "query"})", "default_prompt_name");
  refused("sentence_bert_config.json", R"({"max_seq_length": 0})", "max_seq_length");
  EXPECT_THROW(CrossEncoder(folder.path(), {.max_length = 0}), Error);
  EXPECT_NO_THROW(CrossEncoder{folder.path()});
}

}  // namespace
}  // namespace mica
