// Trained vocabularies against the reference's, and what must not change them.

#include "mica/tokenizers/trainers/training.h"

#include <fstream>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/trainers/bpe_trainer.h"
#include "mica/tokenizers/trainers/train_json.h"
#include "mica/tokenizers/trainers/unigram_trainer.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

const std::string& corpus() {
  static const std::string text = test::read_gz(test::data_folder("training") + "/corpus.txt.gz");
  return text;
}

std::vector<std::string> corpus_lines() {
  std::vector<std::string> lines;
  for (size_t at = 0; at < corpus().size();) {
    const size_t end = corpus().find('\n', at);
    lines.push_back(corpus().substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::vector<Json> cases() {
  std::vector<Json> all;
  const std::string text = test::read_gz(test::data_folder("training") + "/expected.jsonl.gz");
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    all.push_back(Json::parse(text.substr(at, end - at)));
    at = end + 1;
  }
  return all;
}

// The tokenizer that a case describes, trained on the texts.
Json train(const Json& c, TextSource texts) {
  const Json& wanted = c["options"];
  TrainerOptions options;
  const auto number = [&](const char* key, std::optional<int64_t>& value) {
    if (wanted.contains(key)) value = wanted[key].get<int64_t>();
  };
  number("min_frequency", options.min_frequency);
  number("limit_alphabet", options.limit_alphabet);
  number("max_token_length", options.max_token_length);
  number("max_piece_length", options.max_piece_length);
  number("n_sub_iterations", options.n_sub_iterations);
  number("seed_size", options.seed_size);
  if (wanted.contains("shrinking_factor")) options.shrinking_factor = wanted["shrinking_factor"].get<double>();
  if (wanted.contains("end_of_word_suffix")) options.end_of_word_suffix = wanted["end_of_word_suffix"];
  JsonTraining training;
  training.vocab_size = wanted["vocab_size"];
  if (wanted.contains("unk_token")) training.unk_token = wanted["unk_token"].get<std::string>();
  for (const Json& content : wanted["special_tokens"]) {
    AddedToken token;
    token.content = content;
    training.special_tokens.push_back(std::move(token));
  }
  Json tokenizer = {
      {"normalizer", c["normalizer"]}, {"pre_tokenizer", c["pre_tokenizer"]}, {"model", {{"type", c["model"]}}}};
  train_json(tokenizer, texts, training, options);
  return tokenizer;
}

TEST(Training, EqualsTheReference) {
  const std::vector<std::string> lines = corpus_lines();
  int number = 0;
  for (const Json& c : cases()) {
    SCOPED_TRACE("case " + std::to_string(number++) + ": " + c["model"].get<std::string>() + " " + c["options"].dump());
    const Json model = train(c, lines)["model"];
    if (c["model"] == "Unigram") {
      // Of equal scores the reference puts either first, and sums differ in their last digits.
      std::map<std::string, double> expected, got;
      for (const Json& piece : c["vocab"]) expected[piece[0]] = piece[1].get<double>();
      for (const Json& piece : model["vocab"]) got[piece[0]] = piece[1].get<double>();
      ASSERT_EQ(got.size(), expected.size());
      for (const auto& [piece, score] : expected) {
        ASSERT_TRUE(got.contains(piece)) << piece;
        // Characters that training has dropped come back with scores 1e-4 apart, in any order.
        EXPECT_NEAR(got[piece], score, utf8::count(piece) == 1 ? 0.01 : 1e-9) << piece;
      }
      continue;
    }
    Json vocab = Json::array();
    for (const auto& [token, id] : model["vocab"].items()) vocab.push_back({token, id});
    EXPECT_EQ(vocab, c["vocab"]);
    if (c["model"] == "BPE") {
      EXPECT_EQ(model["merges"], c["merges"]);
    }
  }
}

TEST(Training, DoesNotDependOnThreadsOrOnHowTextsCome) {
  std::vector<std::string> lines;
  for (int i = 0; i < 6; ++i) {
    for (const std::string& line : corpus_lines()) lines.push_back(line + (i % 2 == 0 ? "" : " encore"));
  }
  const int threads = num_threads();
  for (const Json& c : cases()) {
    set_num_threads(1);
    const Json one = train(c, lines);
    set_num_threads(3);
    const Json three = train(c, lines);
    EXPECT_EQ(one, three) << c["model"] << c["options"];
  }
  set_num_threads(threads);
}

// The words and counts of texts through components.
std::vector<std::pair<std::string, uint64_t>> count(const Json& normalizer, const Json& pre_tokenizer,
                                                    const std::vector<std::string>& texts, bool cut, size_t a_time) {
  WordCounter counter(normalizer.is_null() ? nullptr : make_normalizer(Fields(normalizer, "test", "normalizer")),
                      make_pre_tokenizer(Fields(pre_tokenizer, "test", "pre_tokenizer")));
  if (!cut) counter.forbid_cuts();
  for (size_t i = 0; i < texts.size(); i += a_time) {
    counter.add(std::span(texts).subspan(i, std::min(a_time, texts.size() - i)));
  }
  const WordCounts counts = counter.finish();
  std::vector<std::pair<std::string, uint64_t>> words;
  for (const WordCount& word : counts.words) words.emplace_back(word.text, word.count);
  return words;
}

TEST(Training, WordsAreTheSameWhereTextsAreCutAtSpaces) {
  const std::vector<std::string> parts = {"foo",    "Bar",    " ",   "  ", "\n", "\t",     "\u00a0", "\u3000",
                                          "\u0301", "é",      "中",  "ß",  "'s", "\u200b", "!",      "¨",
                                          "\ufdfa", "12",     "3",   "…",  "ᾳ",  "İ",      "``",     "ﬁ",
                                          "▁",      "\u2028", "a b", " c", "d ", "\r\n"};
  uint64_t state = 1;
  const auto random = [&](size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33) % n;
  };
  std::vector<std::string> texts;
  for (int i = 0; i < 4000; ++i) {
    std::string& text = texts.emplace_back();
    for (size_t k = random(12); k > 0; --k) {
      text += parts[random(parts.size())];
      if (random(2) == 0) text += ' ';
    }
  }
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  const Json bert = {{"type", "BertNormalizer"},
                     {"clean_text", true},
                     {"handle_chinese_chars", true},
                     {"strip_accents", nullptr},
                     {"lowercase", true}};
  const Json accents = {{"type", "Sequence"},
                        {"normalizers", Json::array({{{"type", "NFKD"}}, {{"type", "StripAccents"}}})}};
  const Json spaces = {
      {"type", "Sequence"},
      {"normalizers",
       Json::array({accents, {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}}})}};
  for (const Json& normalizer : {Json(), bert, spaces, Json{{"type", "NFKC"}}, accents, Json{{"type", "Lowercase"}}}) {
    for (const Json& pre_tokenizer :
         {bytes, Json{{"type", "BertPreTokenizer"}}, Json{{"type", "Whitespace"}}, Json{{"type", "WhitespaceSplit"}},
          Json{{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", true}},
          Json{{"type", "Sequence"},
               {"pretokenizers", Json::array({{{"type", "Digits"}, {"individual_digits", true}}, bytes})}}}) {
      const auto expected = count(normalizer, pre_tokenizer, texts, false, texts.size());
      EXPECT_EQ(count(normalizer, pre_tokenizer, texts, true, texts.size()), expected) << normalizer << pre_tokenizer;
      EXPECT_EQ(count(normalizer, pre_tokenizer, texts, true, 333), expected) << normalizer << pre_tokenizer;
    }
  }
}

TEST(Training, FromScratchSavesAndOpens) {
  const std::vector<std::string> lines = corpus_lines();
  for (const char* const model : {"bpe", "wordpiece", "unigram", "wordlevel"}) {
    const Tokenizer trained =
        train_tokenizer(lines, {.model = model, .vocab_size = 500, .special_tokens = {"<extra>"}});
    EXPECT_EQ(trained.size(), 500) << model;
    test::ScratchFolder folder;
    trained.save_pretrained(folder.path());
    const Tokenizer opened = Tokenizer::from_pretrained(folder.path());
    for (const std::string& line : lines) {
      EXPECT_EQ(opened.encode(line + "<extra>"), trained.encode(line + "<extra>")) << model << line;
    }
    EXPECT_EQ(opened.token_to_id("<extra>"), trained.token_to_id("<extra>"));
    EXPECT_EQ(opened.special_tokens().additional_special_tokens, std::vector<std::string>{"<extra>"});
  }
  const Tokenizer bytes = train_tokenizer(lines, {.model = "bpe", .vocab_size = 500});
  for (const std::string& line : lines) EXPECT_EQ(bytes.decode(bytes.encode(line)), line);
}

TEST(Training, NewFromIteratorKeepsEverythingElse) {
  const Tokenizer old = Tokenizer::from_json(test::small_tokenizer().dump());
  AddedToken added;
  added.content = "[NEW]";
  added.special = true;
  added.normalized = false;
  const Tokenizer trained = old.train_new_from_iterator(corpus_lines(), 400, {added}, {{"[CLS]", "[BEGIN]"}});
  EXPECT_EQ(trained.model_type(), "WordPiece");
  EXPECT_EQ(trained.size(), 400);
  EXPECT_EQ(trained.special_tokens().cls_token, "[BEGIN]");
  EXPECT_EQ(trained.token_to_id("[CLS]"), std::nullopt);
  EXPECT_EQ(trained.token_to_id("[BEGIN]"), 2);
  EXPECT_EQ(trained.token_to_id("[NEW]"), 5);
  const std::vector<std::string> tokens = trained.convert_ids_to_tokens(trained.encode("First [NEW]"));
  EXPECT_EQ(tokens.front(), "[BEGIN]");
  EXPECT_EQ(tokens[1], "first");
  EXPECT_EQ(tokens[2], "[NEW]");
  EXPECT_EQ(tokens.back(), "[SEP]");
  const Json json = Json::parse(trained.to_json()), before = Json::parse(old.to_json());
  for (const char* const part : {"normalizer", "pre_tokenizer", "decoder"}) EXPECT_EQ(json[part], before[part]);
  test::ScratchFolder folder;
  trained.save_pretrained(folder.path());
  EXPECT_EQ(Tokenizer::from_pretrained(folder.path()).encode("Citizen"), trained.encode("Citizen"));
}

TEST(Training, FilesOfLinesAndOfJson) {
  test::ScratchFolder folder;
  folder.write("a.txt", "one\r\ntwo three\n\nfour");
  folder.write("b.jsonl", "{\"t\": \"five\"}\n\n{\"t\": [\"six\", \"seven\"], \"u\": 1}\n");
  const auto read = [](TextSource source) {
    std::vector<std::string> texts;
    for (std::string text; source.next(text);) texts.push_back(text);
    return texts;
  };
  EXPECT_EQ(read(text_files({folder.file("a.txt"), folder.file("a.txt")})),
            (std::vector<std::string>{"one", "two three", "", "four", "one", "two three", "", "four"}));
  EXPECT_EQ(read(text_files({folder.file("b.jsonl")}, {.json_field = "t"})),
            (std::vector<std::string>{"five", "six", "seven"}));
}

template <typename Function>
void expect_error(const Function& function, const std::string& part) {
  try {
    function();
    ADD_FAILURE() << "no error; wanted " << part;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Training, BadInputIsAnError) {
  const std::vector<std::string> texts = {"some words"};
  const auto with = [](TextSource source, TokenizerRecipe recipe, TrainerOptions options = {}) {
    return [=] { train_tokenizer(source, recipe, options); };
  };
  expect_error(with({}, {}), "no word");
  expect_error(with({""}, {.model = "wordpiece"}), "no word");
  expect_error(with(texts, {.model = "char"}), "unknown model");
  expect_error(with({"fine", "\xff"}, {}), "text 2 is not valid UTF-8");
  expect_error(with(texts, {.model = "wordpiece", .special_tokens = {"[MASK]"}}), "occurs twice");
  expect_error(with(texts, {.vocab_size = int64_t{1} << 40}), "vocab_size out of range");
  expect_error(with(texts, {}, {.min_frequency = -1}), "min_frequency out of range");
  expect_error(with(texts, {.model = "wordlevel"}, {.limit_alphabet = 3}), "have no limit_alphabet");
  expect_error(with(texts, {.model = "unigram"}, {.shrinking_factor = 1.0}), "shrinking_factor");
  expect_error(with(texts, {.model = "unigram", .vocab_size = 5}), "do not fit");
  test::ScratchFolder folder;
  folder.write("bad.txt", "fine\nnot \xc3\x28 fine\n");
  folder.write("bad.jsonl", "{\"text\": 1}\n");
  expect_error(with(text_files({folder.file("bad.txt")}), {}), "bad.txt, line 2");
  expect_error(with(text_files({folder.file("bad.jsonl")}, {.json_field = "text"}), {}), "bad.jsonl, line 1");
  expect_error(with(text_files({folder.file("bad.jsonl")}, {.json_field = "other"}), {}), "no object with a field");
  expect_error([&] { text_files({folder.file("none.txt")}); }, "no such file");
}

TEST(Training, AVocabularySmallerThanItsAlphabetKeepsTheAlphabet) {
  const std::vector<std::string> texts = {"abc abd"};
  const Tokenizer trained = train_tokenizer(texts, {.model = "wordpiece", .vocab_size = 6});
  EXPECT_EQ(trained.size(), 5 + 4 + 3);  // special tokens, letters, and those inside words
}

}  // namespace
}  // namespace mica
