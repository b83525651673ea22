// Every pipeline on a device that is not the CPU: the guarded device, whose kernels are the CPU's, gives the CPU's
// answers.

#include <string>
#include <vector>

#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/warnings.h"
#include "mica/models/pipelines/pipeline.h"
#include "mica/models/pipelines/sentence_transformer.h"

namespace mica {
namespace {

using test::guarded_device;

const std::string kStories = MICA_SOURCE_DIR "/tests/data/models/stories260K";
const std::string kNames = MICA_SOURCE_DIR "/tests/data/models/aren-transliteration";

class DevicePipelines : public ::testing::Test {
 protected:
  void expect_same(const std::string& task, const std::string& folder, const std::vector<std::string>& texts) {
    SCOPED_TRACE(task);
    const Pipeline wanted = pipeline(task, folder), have = pipeline(task, folder, {.device = guarded_device()});
    const auto a = have(texts), b = wanted(texts);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].to_json(), b[i].to_json());
  }
  tiny::TemporaryFolder folder_;
  const std::vector<std::string> texts_{"ada", "the river of turin is in a valley", "", "who lives?"};
};

TEST_F(DevicePipelines, AnswerAsOnTheCpu) {
  const std::pair<const char*, const char*> tasks[] = {{"text-classification", "sequence_classification"},
                                                       {"token-classification", "token_classification"},
                                                       {"feature-extraction", "base"}};
  for (const auto& [task, head] : tasks) {
    const tiny::TemporaryFolder folder;
    tiny::write_bert(folder.path(), head, {"A", "B", "C"});
    expect_same(task, folder.path(), texts_);
  }
  const tiny::TemporaryFolder words, reader;
  tiny::write_bert(words.path(), "masked_lm");
  expect_same("fill-mask", words.path(), {"ada [MASK] turin", "[MASK] of [MASK]"});
  tiny::write_bert(reader.path(), "question_answering");
  const char* question = "who lives?";
  const char* context = "ada lives in the valley of the river in turin";
  EXPECT_EQ(pipeline("question-answering", reader.path(), {.device = guarded_device()})(question, context).to_json(),
            pipeline("question-answering", reader.path())(question, context).to_json());
}

TEST_F(DevicePipelines, WriteAsOnTheCpu) {
  const auto expect = [](const auto& have, const auto& wanted, const std::vector<std::string>& texts) {
    const auto a = have(texts, {.generation = {.max_new_tokens = 8}});
    const auto b = wanted(texts, {.generation = {.max_new_tokens = 8}});
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(to_json(a[i]), to_json(b[i]));
  };
  const PipelineOptions there{.device = guarded_device()};
  const std::vector<std::string> names{"\u0645\u062d\u0645\u062f"};
  expect(TextGenerationPipeline(kStories, there), TextGenerationPipeline(kStories), {"Once upon a time", "The dog"});
  expect(Text2TextGenerationPipeline(kNames, there), Text2TextGenerationPipeline(kNames), names);
  expect(SummarizationPipeline(kNames, there), SummarizationPipeline(kNames), names);
  expect(TranslationPipeline(kNames, there, "translation_ar_to_en"),
         TranslationPipeline(kNames, PipelineOptions{}, "translation_ar_to_en"), names);
}

TEST_F(DevicePipelines, EncodeSentencesAsOnTheCpu) {
  const Json data = tiny::read_data("sentence_transformer");
  for (size_t m = 0; m < data.at("models").size(); ++m) {
    const WarningCatcher cut;
    const tiny::TemporaryFolder folder, copy;
    tiny::write_model(folder.path(), data, m);
    const SentenceTransformer wanted(folder.path()), have(folder.path(), {.device = guarded_device()});
    for (const auto& [name, parameter] : have.parameters()) EXPECT_EQ(parameter.device(), guarded_device()) << name;
    const Tensor a = have.encode(texts_, {.batch_size = 3}), b = wanted.encode(texts_);
    EXPECT_TRUE(a.device().is_cpu());
    EXPECT_EQ(a.to_vector<float>(), b.to_vector<float>());
    EXPECT_EQ(have.similarity(a.to(guarded_device()), a.to(guarded_device())).to_vector<float>(),
              wanted.similarity(b, b).to_vector<float>());
    have.save_pretrained(copy.path());
    EXPECT_EQ(SentenceTransformer(copy.path()).encode(texts_).to_vector<float>(), b.to_vector<float>());
    wanted.to(guarded_device());
    EXPECT_EQ(wanted.encode(texts_).to_vector<float>(), b.to_vector<float>());
  }
}

// A batch's embeddings come to the host at once, and nothing else does.
TEST_F(DevicePipelines, ABatchOfSentencesIsCopiedOnce) {
  tiny::write_bert(folder_.path(), "base");
  const Model model =
      Model::from_pretrained(folder_.path(), Task::base, {.device = guarded_device(), .add_pooling_layer = false});
  const SentenceTransformer sentences(model, Tokenizer::from_pretrained(folder_.path()));
  const int64_t before = test::copies_to_host();
  sentences.encode(texts_, {.batch_size = 2});
  EXPECT_EQ(test::copies_to_host() - before, 2);
}

}  // namespace
}  // namespace mica
