// Texts for texts by a small published encoder-decoder (names in Arabic letters to Latin ones), against the reference:
// tests/data/models/aren-transliteration. Summaries and translations take its folder with other settings.

#include <filesystem>

#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/base/warnings.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/prompts.h"
#include "mica/models/pipelines/pipeline.h"

namespace mica {
namespace {

const std::string kNames = std::string(MICA_SOURCE_DIR) + "/tests/data/models/aren-transliteration";

struct Name {
  std::string word, greedy, beam4;
  std::vector<int64_t> ids, added;
};
const std::vector<Name>& names() {
  static const std::vector<Name> all = [] {
    std::vector<Name> result;
    const Json expected = read_json_file(kNames + "/expected.json");
    for (const Json& each : expected.at("cases")) {
      Name name{each.at("word").get<std::string>(), each.at("greedy").get<std::string>(),
                each.at("beam4").get<std::string>(), each.at("input_ids").get<std::vector<int64_t>>(),
                each.at("greedy_ids").get<std::vector<int64_t>>()};
      name.added.erase(name.added.begin());  // the start token
      while (!name.added.empty() && name.added.back() == 0) name.added.pop_back();
      result.push_back(std::move(name));
    }
    return result;
  }();
  return all;
}
std::vector<std::string> words() {
  std::vector<std::string> result;
  for (const Name& each : names()) result.push_back(each.word);
  return result;
}
const Text2TextGenerationPipeline& speller() {
  static const Text2TextGenerationPipeline pipeline(kNames, {.device = test::test_device()});
  return pipeline;
}

TEST(TextToText, WritesAsTheReferenceDoes) {
  ASSERT_EQ(names().size(), 20U);
  for (const Name& each : names()) {
    SCOPED_TRACE(each.word);
    const BatchEncoding inputs = speller().tokenizer()(each.word);
    EXPECT_EQ(std::vector<int64_t>(inputs.input_ids[0].begin(), inputs.input_ids[0].end()), each.ids);
    EXPECT_EQ(speller().model().generate(inputs).tokens, Prompts{each.added});
    EXPECT_EQ(to_json(speller()(each.word)), "[{\"generated_text\": \"" + each.greedy + "\"}]");
  }
}

TEST(TextToText, BatchesAndBeams) {
  for (const int64_t batch_size : {1, 3, 32}) {
    const auto greedy = speller()(words(), {.batch_size = batch_size});
    const auto beams = speller()(words(), {.generation = {.num_beams = 4}, .batch_size = batch_size});
    for (size_t i = 0; i < names().size(); ++i) {
      ASSERT_EQ(greedy[i].size(), 1U);
      EXPECT_EQ(greedy[i][0].generated_text, names()[i].greedy) << batch_size;
      EXPECT_EQ(beams[i].at(0).generated_text, names()[i].beam4) << batch_size;
    }
  }
  const auto several = speller()(words()[0], {.generation = {.num_beams = 4, .num_return_sequences = 3}});
  ASSERT_EQ(several.size(), 3U);
  EXPECT_EQ(several[0].generated_text, names()[0].beam4);
  EXPECT_NE(several[1].generated_text, several[2].generated_text);
}

// A padded batch with a mask, from the reference's own tensors.
TEST(TextToText, PaddedBatches) {
  std::vector<int64_t> ids, mask;
  size_t longest = 0;
  for (const Name& each : names()) longest = std::max(longest, each.ids.size());
  for (const Name& each : names()) {
    const size_t padding = longest - each.ids.size();
    ids.insert(ids.end(), each.ids.begin(), each.ids.end());
    ids.insert(ids.end(), padding, 0);
    mask.insert(mask.end(), each.ids.size(), 1);
    mask.insert(mask.end(), padding, 0);
  }
  const Shape shape{static_cast<int64_t>(names().size()), static_cast<int64_t>(longest)};
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(ids, shape);
  inputs.attention_mask = Tensor::from(mask, shape);
  const GenerationOutput output = speller().model().generate(inputs);
  for (size_t i = 0; i < names().size(); ++i) EXPECT_EQ(output.tokens[i], names()[i].added) << i;
  // The decoder's text may be begun; the start token goes in front where it is missing.
  inputs.input_ids = Tensor::from(names()[0].ids, {1, static_cast<int64_t>(names()[0].ids.size())});
  inputs.attention_mask = {};
  inputs.decoder_input_ids = Tensor::from(std::vector<int64_t>{names()[0].added[0]}, {1, 1});
  const std::vector<int64_t> rest(names()[0].added.begin() + 1, names()[0].added.end());
  EXPECT_EQ(speller().model().generate(inputs).tokens, Prompts{rest});
}

// The folder with changes to its config and tokenizer.
std::string changed_folder(const tiny::TemporaryFolder& folder, const Json& config_keys,
                           const std::function<void(Json&)>& change_tokenizer = {}) {
  for (const char* file : {"model.safetensors", "tokenizer_config.json", "generation_config.json"}) {
    std::filesystem::copy_file(kNames + "/" + file, folder / file);
  }
  Json config = read_json_file(kNames + "/config.json");
  config.update(config_keys);
  tiny::write_text(folder / "config.json", config.dump());
  Json tokenizer = read_json_file(kNames + "/tokenizer.json");
  if (change_tokenizer) change_tokenizer(tokenizer);
  tiny::write_text(folder / "tokenizer.json", tokenizer.dump());
  return folder.path();
}

TEST(TextToText, SummariesTakeTheTasksSettings) {
  const tiny::TemporaryFolder folder;
  const std::string& first = names()[0].word;
  const std::string& second = names()[1].word;
  changed_folder(folder, {{"task_specific_params",
                           {{"summarization", {{"prefix", first}, {"min_length", 3}, {"num_beams", 4}}}}}});
  const SummarizationPipeline summarizer = pipeline("summarization", folder.path());
  const std::string wanted = speller()(first + second, {.generation = {.num_beams = 4}})[0].generated_text;
  EXPECT_EQ(to_json(summarizer(second)), "[{\"summary_text\": \"" + wanted + "\"}]");
  EXPECT_EQ(summarizer(second, {.generation = {.num_beams = 1}, .prefix = ""})[0].summary_text, names()[1].greedy);
  const auto brief = summarizer(second, {.generation = {.max_new_tokens = 4}});
  EXPECT_EQ(brief[0].summary_text.size(), 4U);
  EXPECT_THROW(summarizer(second, {.generation = {.max_length = 5, .min_length = 9}}), Error);
  const WarningCatcher catcher;
  const auto lengthy = summarizer(second, {.generation = {.min_length = 40}, .prefix = ""});
  EXPECT_GT(lengthy[0].summary_text.size(), 30U);
  ASSERT_FALSE(catcher.messages().empty());
  EXPECT_NE(catcher.messages()[0].find("min_length"), std::string::npos);
}

TEST(TextToText, TranslationsByTasksOfTheConfig) {
  const tiny::TemporaryFolder folder;
  const std::string& first = names()[0].word;
  const std::string& second = names()[1].word;
  changed_folder(folder,
                 {{"task_specific_params", {{"translation_ar_to_en", {{"prefix", first}, {"max_length", 300}}}}}});
  const std::string wanted = speller()(first + second)[0].generated_text;
  const TranslationPipeline named = pipeline("translation_ar_to_en", folder.path());
  EXPECT_EQ(to_json(named(second)), "[{\"translation_text\": \"" + wanted + "\"}]");
  const TranslationPipeline plain = pipeline("translation", folder.path());
  EXPECT_EQ(plain(second, {.src_lang = "ar", .tgt_lang = "en"})[0].translation_text, wanted);
  EXPECT_EQ(plain(second)[0].translation_text, names()[1].greedy);
  try {
    plain(second, {.src_lang = "en", .tgt_lang = "ar"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.mend().find("ar_to_en"), std::string::npos) << error.what();
  }
  EXPECT_THROW(pipeline("translation_ar_to_en", folder.path())("a", "b"), Error);
  EXPECT_THROW(pipeline("translation_ar", folder.path()), Error);
  EXPECT_THROW(pipeline("translations", folder.path()), Error);
}

// As mBART-50, NLLB and M2M100 tell languages: tokens that stand before the text, and one that is forced.
TEST(TextToText, TranslationsByTokensOfLanguages) {
  const tiny::TemporaryFolder folder;
  changed_folder(folder, Json::object(), [](Json& tokenizer) {
    // Two source symbols and one target symbol play languages.
    const auto add = [&](const char* token, int64_t id) {
      Json& vocab = tokenizer["model"]["vocab"];
      for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
        if (*entry == id) {
          vocab.erase(entry);
          break;
        }
      }
      vocab[token] = id;
      tokenizer["added_tokens"].push_back({{"id", id},
                                           {"content", token},
                                           {"single_word", false},
                                           {"lstrip", false},
                                           {"rstrip", false},
                                           {"normalized", false},
                                           {"special", true}});
    };
    add("ar_AR", 90);
    add("__fa__", 91);
    add("en_XX", 5);
    tokenizer["post_processor"] = {
        {"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", "ar_AR"}, {"type_id", 0}}}},
          {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
          {{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}}}},
        {"pair", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "B"}, {"type_id", 0}}}}}},
        {"special_tokens",
         {{"ar_AR", {{"id", "ar_AR"}, {"ids", {90}}, {"tokens", {"ar_AR"}}}},
          {"</s>", {{"id", "</s>"}, {"ids", {2}}, {"tokens", {"</s>"}}}}}}};
  });
  const TranslationPipeline translator(folder.path(), {.device = test::test_device()});
  const Name& name = names()[0];
  // What the model gives for these ids with that first token.
  const auto wanted = [&](int64_t source) {
    std::vector<int64_t> ids{source};
    ids.insert(ids.end(), name.ids.begin(), name.ids.end());
    ids.push_back(2);
    ModelInputs inputs;
    inputs.input_ids = Tensor::from(ids, {1, static_cast<int64_t>(ids.size())});
    const GenerationOutput output = translator.model().generate(inputs, {.forced_bos_token_id = 5});
    EXPECT_EQ(output.tokens[0][0], 5);
    return translator.tokenizer().decode(output.tokens[0], {.skip_special_tokens = true});
  };
  EXPECT_EQ(translator(name.word, {.src_lang = "ar_AR", .tgt_lang = "en_XX"})[0].translation_text, wanted(90));
  EXPECT_EQ(translator(name.word, {.tgt_lang = "en_XX"})[0].translation_text, wanted(90));
  EXPECT_EQ(translator(name.word, {.src_lang = "fa", .tgt_lang = "en_XX"})[0].translation_text, wanted(91));
  EXPECT_NE(wanted(90), wanted(91)) << "the test shows nothing";
  EXPECT_THROW(translator(name.word, {.src_lang = "ar_AR", .tgt_lang = "tlh"}), Error);
  EXPECT_THROW(translator(name.word, {.src_lang = "tlh", .tgt_lang = "en_XX"}), Error);
  // A class that marks languages needs none in tokenizer.json.
  Json tokenizer = read_json_file(folder.path() + "/tokenizer.json");
  tokenizer["post_processor"] = nullptr;
  write_file_atomically(folder.path() + "/tokenizer.json", tokenizer.dump());
  write_file_atomically(folder.path() + "/tokenizer_config.json", R"({"tokenizer_class": "M2M100Tokenizer"})");
  const TranslationPipeline marking(folder.path(), {.device = test::test_device()});
  EXPECT_EQ(marking(name.word, {.src_lang = "fa", .tgt_lang = "en_XX"})[0].translation_text, wanted(91));
  // A tokenizer that adds no language has no place for one.
  const tiny::TemporaryFolder other;
  changed_folder(other, Json::object());
  const TranslationPipeline pair(other.path(), PipelineOptions{.device = test::test_device()}, "translation_ar_to_en");
  EXPECT_THROW(pair(name.word, {.src_lang = "ar_AR", .tgt_lang = "en_XX"}), Error);
  EXPECT_EQ(pair(name.word)[0].translation_text, name.greedy);
}

TEST(TextToText, Refusals) {
  EXPECT_THROW(speller()("", {}), Error) << "nothing to read";
  const WarningCatcher catcher;
  std::string endless;
  for (int i = 0; i < 200; ++i) endless += names()[0].word;
  EXPECT_EQ(speller()(endless).size(), 1U);
  ASSERT_EQ(catcher.messages().size(), 1U);
  EXPECT_NE(catcher.messages()[0].find("cut"), std::string::npos);
}

}  // namespace
}  // namespace mica
