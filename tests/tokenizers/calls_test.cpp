// The calls of Tokenizer as the guide knows them.

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using Ids = std::vector<int32_t>;
using Words = std::vector<std::string>;

Tokenizer small() {
  return Tokenizer::from_json(test::small_tokenizer().dump());
}

template <typename T>
std::vector<T> row(const Ragged<T>& rows, size_t i = 0) {
  return {rows[i].begin(), rows[i].end()};
}

TEST(Calls, OneTextAndAPair) {
  const auto one = small()("Hello worlds!");
  EXPECT_EQ(row(one.input_ids), (Ids{2, 5, 6, 9, 13, 3}));
  EXPECT_EQ(row(one.token_type_ids), (Ids{0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row(one.attention_mask), (Ids{1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(one.tokens(), (Words{"[CLS]", "hello", "world", "##s", "!", "[SEP]"}));
  const auto pair = small()("a", "b c");
  EXPECT_EQ(row(pair.input_ids), (Ids{2, 10, 3, 11, 12, 3}));
  EXPECT_EQ(row(pair.token_type_ids), (Ids{0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(pair.special_tokens_mask(), (Ids{1, 0, 1, 0, 0, 1}));
  EXPECT_EQ(std::vector<int8_t>(pair.sequence_ids().begin(), pair.sequence_ids().end()),
            (std::vector<int8_t>{-1, 0, -1, 1, 1, -1}));
  EXPECT_EQ(row(small()("a", "").input_ids), (Ids{2, 10, 3, 3}));
  EXPECT_EQ(row(small()("").input_ids), (Ids{2, 3}));
  EXPECT_EQ(small().encode("a b", {.add_special_tokens = false}), (Ids{10, 11}));
  EXPECT_EQ(small().tokenize("worlds"), (Words{"world", "##s"}));
}

TEST(Calls, BatchesPairsAndWords) {
  const auto batch = small()({"a", "a b c"}, {.padding = true});
  EXPECT_EQ(row(batch.input_ids, 0), (Ids{2, 10, 3, 0, 0}));
  EXPECT_EQ(row(batch.attention_mask, 0), (Ids{1, 1, 1, 0, 0}));
  EXPECT_EQ(batch.special_tokens_mask(0), (Ids{1, 0, 1, 1, 1}));
  EXPECT_EQ(batch.input_ids.values().size(), 10u);
  const auto pairs = small()({"a", "b"}, {"c", "a a"});
  EXPECT_EQ(row(pairs.input_ids, 1), (Ids{2, 11, 3, 10, 10, 3}));
  const Words words = {"Hello", "worlds", "", "!"};
  const auto split = small()(words, {.is_split_into_words = true});
  EXPECT_EQ(split.size(), 1u);
  EXPECT_EQ(Ids(split.word_ids().begin(), split.word_ids().end()), (Ids{-1, 0, 1, 1, 3, -1}));
  EXPECT_EQ(split.offsets()[3], (CharSpan{5, 6}));
  const std::vector<Words> lists = {{"a", "b"}, {"c"}};
  EXPECT_EQ(small()(lists, {.is_split_into_words = true}).size(), 2u);
  EXPECT_EQ(row(small()(lists, lists).input_ids, 1), (Ids{2, 12, 3, 12, 3}));
  EXPECT_EQ(small()(Words{}).size(), 0u);
  EXPECT_EQ(small()(Words{}, {.padding = true}).size(), 0u);
}

TEST(Calls, PaddingAndTruncation) {
  const auto padded = small()("a", {.padding = Padding::max_length, .truncation = true, .max_length = 5});
  EXPECT_EQ(row(padded.input_ids), (Ids{2, 10, 3, 0, 0}));
  EXPECT_EQ(row(small()("a b c", {.truncation = true, .max_length = 4}).input_ids), (Ids{2, 10, 11, 3}));
  EXPECT_EQ(row(small()("a b c", {.max_length = 4}).input_ids), (Ids{2, 10, 11, 3}));
  EXPECT_EQ(row(small()("a b c", {.truncation = false, .max_length = 4}).input_ids), (Ids{2, 10, 11, 12, 3}));
  const auto left = small()({"a", "a b"}, {.padding = true, .padding_side = Side::left});
  EXPECT_EQ(row(left.input_ids), (Ids{0, 2, 10, 3}));
  EXPECT_EQ(row(small()("a b c", {.max_length = 4, .truncation_side = Side::left}).input_ids), (Ids{2, 11, 12, 3}));
  const auto multiple = small()({"a"}, {.padding = true, .pad_to_multiple_of = 8});
  EXPECT_EQ(multiple.input_ids[0].size(), 8u);
  auto tokenizer = small();
  tokenizer.set_model_max_length(3);
  EXPECT_EQ(row(tokenizer("a b c", {.truncation = true}).input_ids), (Ids{2, 10, 3}));
}

TEST(Calls, OverflowingWindows) {
  const auto windows =
      small()({"a b c", "a"}, {.truncation = true, .max_length = 4, .stride = 1, .return_overflowing_tokens = true});
  EXPECT_EQ(row(windows.input_ids, 0), (Ids{2, 10, 11, 3}));
  EXPECT_EQ(row(windows.input_ids, 1), (Ids{2, 11, 12, 3}));
  EXPECT_EQ(windows.overflow_to_sample_mapping, (Ids{0, 0, 1}));
}

TEST(Calls, CharactersTokensAndWords) {
  const auto encoding = small()("héllo worlds", "a b");
  EXPECT_EQ(encoding.char_to_token(1), 1);
  EXPECT_EQ(encoding.char_to_token(5), std::nullopt);  // the space
  EXPECT_EQ(encoding.char_to_token(0, 11), 3);
  EXPECT_EQ(encoding.char_to_token(0, 2, 1), 6);
  EXPECT_EQ(encoding.token_to_chars(2), (CharSpan{6, 11}));
  EXPECT_EQ(encoding.token_to_chars(0), std::nullopt);
  EXPECT_EQ(encoding.word_to_tokens(1), (TokenSpan{2, 4}));
  EXPECT_EQ(encoding.word_to_tokens(0, 1, 1), (TokenSpan{6, 7}));
  EXPECT_EQ(encoding.token_to_word(3), 1);
  EXPECT_EQ(encoding.token_to_sequence(0, 6), 1);
  EXPECT_EQ(encoding.char_to_word(7), 1);
  EXPECT_EQ(encoding.word_to_chars(0, 1), (CharSpan{6, 12}));
  EXPECT_THROW(encoding.offsets(1), Error);
  EXPECT_THROW(encoding.token_to_chars(99), Error);
  EXPECT_THROW(encoding.token_to_chars(-1), Error);
}

TEST(Calls, DecodeAndVocabulary) {
  const auto tokenizer = small();
  EXPECT_EQ(tokenizer.decode({2, 5, 6, 9, 13, 3}), "[CLS] hello worlds! [SEP]");
  EXPECT_EQ(tokenizer.decode({2, 5, 6, 9, 13, 3}, {.skip_special_tokens = true}), "hello worlds!");
  EXPECT_EQ(tokenizer.decode({5, -100, 999999, int64_t{1} << 40, 6}), "hello world");
  EXPECT_EQ(tokenizer.batch_decode(tokenizer({"a", "b"}).input_ids, {.skip_special_tokens = true}), (Words{"a", "b"}));
  EXPECT_EQ(tokenizer.convert_tokens_to_ids("world"), 6);
  EXPECT_EQ(tokenizer.convert_tokens_to_ids("nothing"), 1);
  EXPECT_EQ(tokenizer.convert_ids_to_tokens(9), "##s");
  EXPECT_THROW(tokenizer.convert_ids_to_tokens(-1), Error);
  EXPECT_THROW(tokenizer.convert_ids_to_tokens(15), Error);
  EXPECT_EQ(tokenizer.convert_tokens_to_string({"wor", "##ld"}), "world");
  EXPECT_EQ(tokenizer.vocab_size(), 15);
  EXPECT_EQ(tokenizer.mask_token_id(), 4);
  EXPECT_EQ(tokenizer.bos_token_id(), std::nullopt);
  EXPECT_EQ(tokenizer.all_special_ids(), (Ids{1, 3, 0, 2, 4}));
  EXPECT_EQ(tokenizer.num_special_tokens_to_add(), 2);
  EXPECT_EQ(tokenizer.num_special_tokens_to_add(true), 3);
}

TEST(DecodeStreams, GiveWholeCharactersAndInTheEndTheText) {
  Json vocabulary = Json::object();
  int next = 0;
  for (const char* token : {"[UNK]",  "a",      "\u2581the", "\u2581", ".",      "n't",    "##b",    "'",
                            "<0xE4>", "<0xB8>", "<0xAD>",    "<0xFF>", "\u00e4", "\u00b8", "\u0143", "\u0120x",
                            "\u00ff", " .",     "</w>",      "c</w>",  "<pad>",  "|",      "\u4e2d"}) {
    vocabulary[token] = next++;
  }
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  const std::vector<Json> decoders = {
      nullptr,
      byte_level,
      Json::parse(R"({"type":"WordPiece","prefix":"##","cleanup":true})"),
      Json::parse(R"({"type":"BPEDecoder","suffix":"</w>"})"),
      Json::parse(R"({"type":"CTC","pad_token":"<pad>","word_delimiter_token":"|","cleanup":true})"),
      Json::parse(R"({"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always","split":true})"),
      Json::parse(R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},
                      {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})")};
  uint32_t random = 1;
  for (const Json& decoder : decoders) {
    const Json file = {{"decoder", decoder},
                       {"model", {{"type", "WordLevel"}, {"unk_token", "[UNK]"}, {"vocab", vocabulary}}}};
    const auto tokenizer = Tokenizer::from_json(file.dump());
    for (int round = 0; round < 300; ++round) {
      const DecodeOptions options{.clean_up_tokenization_spaces = round % 3 == 0};
      std::vector<int64_t> ids;
      auto stream = tokenizer.decode_stream(options);
      std::string text;
      for (int i = 0; i < round; ++i) {
        random = random * 1664525 + 1013904223;
        ids.push_back(static_cast<int64_t>((random >> 8) % static_cast<uint32_t>(next + (round % 5 == 0 ? 3 : 0))));
        const std::string piece = stream.step(ids.back());
        EXPECT_TRUE(utf8::is_valid(piece));
        text += piece;
      }
      text += stream.finish();
      ASSERT_EQ(text, tokenizer.decode(ids, options)) << decoder.dump() << " " << Json(ids).dump();
    }
  }
  // What is certain comes at once.
  const Json file = {{"decoder", byte_level},
                     {"model", {{"type", "WordLevel"}, {"unk_token", "[UNK]"}, {"vocab", vocabulary}}}};
  auto stream = Tokenizer::from_json(file.dump()).decode_stream();
  EXPECT_EQ(stream.step(1), "a");
  EXPECT_EQ(stream.step(12), "");
  EXPECT_EQ(stream.step(13), "");
  EXPECT_EQ(stream.step(14), "中");
  EXPECT_EQ(stream.step(12), "");
  EXPECT_EQ(stream.step(15), "\ufffd x");
  EXPECT_EQ(stream.step(12), "");
  EXPECT_EQ(stream.finish(), "\ufffd");
  EXPECT_EQ(stream.step(1), "a");  // anew
  EXPECT_EQ(stream.step(-1), "");
}

TEST(Calls, FirstWindowsDecideHowFarIsPadded) {
  const auto rows =
      small()({"a b", "a"}, {.padding = true, .truncation = true, .max_length = 2, .return_overflowing_tokens = true});
  EXPECT_EQ(row(rows.input_ids, 0), (Ids{2, 3}));
  EXPECT_EQ(row(rows.input_ids, 1), (Ids{2, 10, 11, 3}));
}

TEST(Calls, TextThatIsNotUtf8) {
  const auto encoding = small()("a\xff\xfe b");
  // U+FFFD is cleaned away; the offsets count it.
  EXPECT_EQ(row(encoding.input_ids), (Ids{2, 10, 11, 3}));
  EXPECT_EQ(encoding.offsets()[2], (CharSpan{4, 5}));
}

TEST(AddedTokens, FlagsDecideWhatMatches) {
  auto tokenizer = small();
  const Tokenizer before = tokenizer;
  EXPECT_EQ(tokenizer.add_tokens({"newword", "hello"}), 2);
  EXPECT_EQ(tokenizer.size(), 16);
  EXPECT_EQ(before.size(), 15);
  EXPECT_EQ(row(tokenizer("a NewWord b").input_ids), (Ids{2, 10, 15, 11, 3}));
  const std::vector<AddedToken> tokens = {{.content = "<l>", .lstrip = true, .normalized = false},
                                          {.content = "<w>", .single_word = true, .normalized = false}};
  tokenizer.add_tokens(tokens);
  const auto encoding = tokenizer("a  <l>b <w>x <w>");
  EXPECT_EQ(encoding.tokens(), (Words{"[CLS]", "a", "  <l>", "b", "[UNK]", "[UNK]", "[UNK]", "[UNK]", "<w>", "[SEP]"}));
  EXPECT_EQ(encoding.offsets()[2], (CharSpan{1, 6}));
  EXPECT_EQ(tokenizer.add_special_tokens({.bos_token = "<s>", .additional_special_tokens = {"<t>"}}), 2);
  EXPECT_EQ(tokenizer.bos_token_id(), 18);
  EXPECT_EQ(tokenizer.decode({18, 10}, {.skip_special_tokens = true}), "a");
  EXPECT_EQ(row(tokenizer("[MASK]", {.split_special_tokens = true}).input_ids).size(), 5u);
}

TEST(AddedTokens, LongestOfSeveralWins) {
  auto tokenizer = small();
  const std::vector<AddedToken> tokens = {{.content = "ab", .normalized = false},
                                          {.content = "abc", .normalized = false},
                                          {.content = "bcd", .normalized = false}};
  tokenizer.add_tokens(tokens);
  EXPECT_EQ(tokenizer.tokenize("xabcd abx bcd ab"), (Words{"[UNK]", "abc", "[UNK]", "ab", "[UNK]", "bcd", "ab"}));
}

TEST(Calls, ThreadsGiveTheSameRows) {
  const auto tokenizer = small();
  Words texts;
  for (int i = 0; i < 5000; ++i)
    texts.push_back(i % 7 == 0 ? std::string(static_cast<size_t>(i), 'a') : "Hello worlds! a b c");
  const auto one = tokenizer(texts, {.num_threads = 1}), several = tokenizer(texts, {.num_threads = 4});
  EXPECT_EQ(one.input_ids, several.input_ids);
  EXPECT_EQ(one.token_type_ids, several.token_type_ids);
  for (size_t i = 0; i < texts.size(); i += 501) EXPECT_TRUE(std::ranges::equal(one.offsets(i), several.offsets(i)));
}

TEST(Calls, RefusesWhatCannotBeMet) {
  const auto tokenizer = small();
  EXPECT_THROW(tokenizer("a b c", {.truncation = true, .max_length = 1}), Error);
  EXPECT_THROW(tokenizer("a b c", {.truncation = true, .max_length = 4, .stride = 2}), Error);
  EXPECT_THROW(tokenizer("a", {.truncation = true, .max_length = 4, .stride = 3}), Error);  // whatever the text
  EXPECT_THROW(tokenizer("a b c", {.max_length = -1}), Error);
  EXPECT_THROW(tokenizer("a b c", {.stride = -1}), Error);
  EXPECT_THROW(tokenizer("a b c", {.truncation = Truncation::only_second, .max_length = 4}), Error);
  EXPECT_THROW(
      tokenizer("a", {.padding = Padding::max_length, .truncation = true, .max_length = 5, .pad_to_multiple_of = 4}),
      Error);
  EXPECT_THROW(tokenizer("a", {.padding = Padding::max_length, .max_length = int64_t{1} << 39}), Error);
  EXPECT_THROW(tokenizer("a", {.is_split_into_words = true}), Error);
  EXPECT_THROW(tokenizer("a", {.num_threads = -1}), Error);
  EXPECT_THROW(tokenizer(Words{"a", "b"}, Words{"c"}), Error);
  const auto without_pad = Tokenizer::from_json(test::with("/added_tokens", Json::array()));
  EXPECT_THROW(without_pad({"a"}, {.padding = true}), Error);
  const WarningCatcher catcher;
  tokenizer("a", {.truncation = true});
  EXPECT_EQ(catcher.messages().size(), 1u);
}

TEST(Saving, FoldersReadBackTheSame) {
  auto tokenizer = small();
  tokenizer.add_tokens({"newword"});
  tokenizer.set_model_max_length(77);
  tokenizer.set_padding_side(Side::left);
  const test::ScratchFolder folder;
  EXPECT_EQ(tokenizer.save_pretrained(folder.file("deep/er")).size(), 4u);
  const auto again = AutoTokenizer::from_pretrained(folder.file("deep/er"));
  EXPECT_EQ(again.model_max_length(), 77);
  EXPECT_EQ(again.padding_side(), Side::left);
  EXPECT_EQ(again.mask_token(), "[MASK]");
  EXPECT_EQ(again.to_json(), tokenizer.to_json());
  EXPECT_EQ(again("a newword [MASK] b").input_ids, tokenizer("a newword [MASK] b").input_ids);
}

TEST(Folders, SettingsOfTheOlderFiles) {
  const test::ScratchFolder folder;
  folder.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nHello\nhello\n");
  folder.write("tokenizer_config.json",
               R"({"do_lower_case": false, "tokenizer_class": "DistilBertTokenizer", "max_len": 9,
                                            "padding_side": "left", "cls_token": {"content": "[CLS]", "lstrip": true}})");
  folder.write("added_tokens.json", R"({"<x>": 7, "<y>": 8})");
  folder.write("special_tokens_map.json", R"({"additional_special_tokens": ["<y>"]})");
  const auto tokenizer = AutoTokenizer::from_pretrained(folder.path());
  EXPECT_EQ(row(tokenizer("Hello <x> hello").input_ids), (Ids{2, 5, 7, 6, 3}));
  EXPECT_TRUE(tokenizer("a").token_type_ids.empty());
  EXPECT_EQ(tokenizer.model_max_length(), 9);
  EXPECT_EQ(tokenizer.padding_side(), Side::left);
  EXPECT_EQ(tokenizer.decode({5, 8, 6}, {.skip_special_tokens = true}), "Hello hello");
}

TEST(Folders, ModelTypeTellsTheClass) {
  const test::ScratchFolder folder;
  folder.write("vocab.txt", "[UNK]\n<s>\n</s>\n<pad>\n<mask>\na\nb\n");
  folder.write("config.json", R"({"model_type": "mpnet"})");
  const auto tokenizer = AutoTokenizer::from_pretrained(folder.path());
  EXPECT_EQ(row(tokenizer("a", "b").input_ids), (Ids{1, 5, 2, 2, 6, 2}));
  EXPECT_EQ(tokenizer.tokenize("a  <mask>")[1], "  <mask>");
}

// Of two that reach for the same white space the first has it all: nothing is left that the second would stand for.
TEST(AddedTokens, ThatFindTheirTextTakenAreNone) {
  auto tokenizer = Tokenizer::from_json(test::small_tokenizer().dump());
  tokenizer.add_tokens(std::vector<AddedToken>{{.content = "\n", .lstrip = true, .rstrip = true, .normalized = false}});
  const auto encoding = tokenizer("a\n\n b\n", {.add_special_tokens = false});
  EXPECT_EQ(encoding.tokens(), (std::vector<std::string>{"a", "\n\n ", "b", "\n"}));
  EXPECT_TRUE(std::ranges::equal(encoding.word_ids(), std::vector<int32_t>{0, 1, 2, 3}));
}

// Where a post-processor says that a space was put in front, the first token of each window keeps its one space.
TEST(Windows, TrimmedOffsetsKeepTheSpaceOfTheFirstToken) {
  Json json = test::small_tokenizer();
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  json["post_processor"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}};
  json["model"] = {{"type", "WordLevel"}, {"unk_token", "[UNK]"}, {"vocab", {{"[UNK]", 0}, {"a", 1}, {"\u0120b", 2}}}};
  const auto tokenizer = Tokenizer::from_json(json.dump());
  const auto rows = tokenizer("a b b b", {.truncation = true, .max_length = 2, .return_overflowing_tokens = true});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_TRUE(std::ranges::equal(rows.offsets(0), std::vector<CharSpan>{{0, 1}, {2, 3}}));
  EXPECT_TRUE(std::ranges::equal(rows.offsets(1), std::vector<CharSpan>{{3, 5}, {6, 7}}));
  const auto end = tokenizer("a b b b", {.truncation = true, .max_length = 2, .truncation_side = Side::left});
  EXPECT_TRUE(std::ranges::equal(end.offsets(), std::vector<CharSpan>{{3, 5}, {6, 7}}));
}

// The scheme "first" marks what begins the text itself: not what stands behind white space that was taken off.
TEST(Metaspace, MarksOnlyWhatBeginsTheOriginal) {
  Json json = test::small_tokenizer();
  json["normalizer"] = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
  json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}, {"split", true}};
  json["model"] = {{"type", "WordLevel"}, {"unk_token", "[UNK]"}, {"vocab", {{"[UNK]", 0}, {"a", 1}, {"_a", 2}}}};
  const auto tokenizer = Tokenizer::from_json(json.dump());
  const TokenizerOptions plain{.add_special_tokens = false};
  EXPECT_EQ(tokenizer("a a", plain).tokens(), (std::vector<std::string>{"_a", "_a"}));
  EXPECT_EQ(tokenizer(" a a", plain).tokens(), (std::vector<std::string>{"a", "_a"}));
}

}  // namespace
}  // namespace mica
