// Each component on its own, against what the reference gives.

#include <array>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tokenizers/decoders.h"
#include "mica/tokenizers/models/word_level.h"
#include "mica/tokenizers/models/wordpiece.h"
#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/post_processors.h"
#include "mica/tokenizers/pretokenizers.h"
#include "mica/tokenizers/utf8.h"
#include "mica/tokenizers/windows.h"

namespace mica {
namespace {

std::string normalize(const char* json, const std::string& input, std::vector<CharSpan>* spans = nullptr) {
  const Json config = Json::parse(json);
  NormalizedText text;
  text.assign(input, 0);
  make_normalizer(Fields(config, "t", "normalizer"))->normalize(text);
  if (spans != nullptr) {
    spans->clear();
    const std::string& s = text.text();
    for (uint32_t i = 0; i < s.size();) {
      const auto n = static_cast<uint32_t>(utf8::length(static_cast<unsigned char>(s[i])));
      spans->push_back(text.original({i, i + n}));
      i += n;
    }
  }
  return text.text();
}

std::vector<std::string> split(const char* json, const std::string& input) {
  const Json config = Json::parse(json);
  NormalizedText text;
  text.assign(input, 0);
  std::vector<ByteRange> pieces = {text.all()};
  make_pre_tokenizer(Fields(config, "t", "pre_tokenizer"))->split(text, pieces);
  std::vector<std::string> words;
  for (const ByteRange piece : pieces) words.emplace_back(text.view(piece));
  return words;
}

std::string decode(const char* json, std::vector<std::string> tokens) {
  const Json config = Json::parse(json);
  make_decoder(Fields(config, "t", "decoder"))->decode(tokens);
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

using Spans = std::vector<CharSpan>;
using Words = std::vector<std::string>;

TEST(Normalizers, UnicodeFormsKeepOffsets) {
  Spans spans;
  EXPECT_EQ(normalize(R"({"type":"NFD"})", "é", &spans), "e\u0301");
  EXPECT_EQ(spans, (Spans{{0, 1}, {0, 1}}));
  EXPECT_EQ(normalize(R"({"type":"NFC"})", "e\u0301x", &spans), "éx");
  EXPECT_EQ(spans, (Spans{{0, 1}, {2, 3}}));
  EXPECT_EQ(normalize(R"({"type":"NFKC"})", "ﬁ①", &spans), "fi1");
  EXPECT_EQ(spans, (Spans{{0, 1}, {0, 1}, {1, 2}}));
  EXPECT_EQ(normalize(R"({"type":"NFKD"})", "Å½"), "A\u030a1\u20442");
  EXPECT_EQ(normalize(R"({"type":"NFD"})", "한국"), "\u1112\u1161\u11ab\u1100\u116e\u11a8");
  EXPECT_EQ(normalize(R"({"type":"NFC"})", "\u1112\u1161\u11ab"), "한");
}

TEST(Normalizers, MarksAreOrderedByTheirClass) {
  EXPECT_EQ(normalize(R"({"type":"NFD"})", "a\u0301\u0323"), "a\u0323\u0301");
  EXPECT_EQ(normalize(R"({"type":"NFC"})", "a\u0301\u0323"), "\u1ea1\u0301");
  // U+11938 came with Unicode 13, after the reference's tables.
  EXPECT_EQ(normalize(R"({"type":"NFD"})", "\U00011938"), "\U00011938");
}

TEST(Normalizers, LowercaseStripReplacePrepend) {
  Spans spans;
  EXPECT_EQ(normalize(R"({"type":"Lowercase"})", "ÀΣİ", &spans), "àσi\u0307");
  EXPECT_EQ(spans, (Spans{{0, 1}, {1, 2}, {2, 3}, {2, 3}}));
  EXPECT_EQ(normalize(R"({"type":"StripAccents"})", "e\u0301a"), "ea");
  EXPECT_EQ(normalize(R"({"type":"Strip","strip_left":true,"strip_right":false})", " \u3000a ", &spans), "a ");
  EXPECT_EQ(spans, (Spans{{2, 3}, {3, 4}}));
  EXPECT_EQ(normalize(R"({"type":"Replace","pattern":{"String":"ab"},"content":"xyz"})", "cabab", &spans), "cxyzxyz");
  EXPECT_EQ(spans, (Spans{{0, 1}, {2, 3}, {2, 3}, {2, 3}, {4, 5}, {4, 5}, {4, 5}}));
  EXPECT_EQ(normalize(R"({"type":"Prepend","prepend":"__"})", "ab", &spans), "__ab");
  EXPECT_EQ(spans, (Spans{{0, 1}, {0, 1}, {0, 1}, {1, 2}}));
  EXPECT_EQ(normalize(R"({"type":"Prepend","prepend":"__"})", ""), "");
}

TEST(Normalizers, Bert) {
  const char* uncased =
      R"({"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true})";
  Spans spans;
  const std::string text = std::string("É\tx") + '\0' + "y\u200b中";
  EXPECT_EQ(normalize(uncased, text, &spans), "e xy 中 ");
  EXPECT_EQ(spans, (Spans{{0, 1}, {1, 2}, {2, 3}, {4, 5}, {6, 7}, {6, 7}, {6, 7}}));
}

TEST(PreTokenizers, Kinds) {
  EXPECT_EQ(split(R"({"type":"BertPreTokenizer"})", " Hey, friend!  ¿x "),
            (Words{"Hey", ",", "friend", "!", "¿", "x"}));
  EXPECT_EQ(split(R"({"type":"Whitespace"})", "Hey, _fr1end!?  ok"), (Words{"Hey", ",", "_fr1end", "!?", "ok"}));
  EXPECT_EQ(split(R"({"type":"WhitespaceSplit"})", " a,b\u3000c "), (Words{"a,b", "c"}));
  EXPECT_EQ(split(R"({"type":"Digits","individual_digits":true})", "a12b"), (Words{"a", "1", "2", "b"}));
  EXPECT_EQ(split(R"({"type":"Digits","individual_digits":false})", "a12b"), (Words{"a", "12", "b"}));
  EXPECT_EQ(split(R"({"type":"CharDelimiterSplit","delimiter":"é"})", "aébé"), (Words{"a", "b"}));
  EXPECT_EQ(split(R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Punctuation"}]})", "a. b"),
            (Words{"a", ".", "b"}));
}

// What the tokenizers library 0.23 gives for "a--b-c-" and the pattern "-".
TEST(PreTokenizers, SplitByStringOrExpressionInEveryBehavior) {
  for (const char* pattern : {R"({"String":"-"})", R"({"Regex":"-"})"}) {
    const auto with = [&](const std::string& behavior, bool invert) {
      return split((std::string(R"({"type":"Split","pattern":)") + pattern + R"(,"behavior":")" + behavior +
                    R"(","invert":)" + (invert ? "true" : "false") + "}")
                       .c_str(),
                   "a--b-c-");
    };
    EXPECT_EQ(with("Removed", false), (Words{"a", "b", "c"}));
    EXPECT_EQ(with("Isolated", false), (Words{"a", "-", "-", "b", "-", "c", "-"}));
    EXPECT_EQ(with("MergedWithPrevious", false), (Words{"a-", "-", "b-", "c-"}));
    EXPECT_EQ(with("MergedWithNext", false), (Words{"a", "-", "-b", "-c", "-"}));
    EXPECT_EQ(with("Contiguous", false), (Words{"a", "--", "b", "-", "c", "-"}));
    EXPECT_EQ(with("Removed", true), (Words{"-", "-", "-", "-"}));
  }
  EXPECT_EQ(split(R"({"type":"Split","pattern":{"Regex":"\\p{L}+|é"},"behavior":"Isolated","invert":false})", "ab é1"),
            (Words{"ab", " ", "é", "1"}));
  EXPECT_EQ(split(R"({"type":"Split","pattern":{"Regex":"x*"},"behavior":"Isolated"})", "axxé"),
            (Words{"a", "xx", "é"}));
}

TEST(PreTokenizers, SplitRefusesBadExpressionsAndStopsExplodingOnes) {
  EXPECT_THROW(split(R"({"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"})", "a"), Error);
  EXPECT_THROW(split(R"({"type":"Split","pattern":{"Regex":"a","String":"a"},"behavior":"Isolated"})", "a"), Error);
  EXPECT_THROW(split(R"({"type":"Split","pattern":"a","behavior":"Isolated"})", "a"), Error);
  EXPECT_THROW(
      split(R"({"type":"Split","pattern":{"Regex":"^(a+)+$"},"behavior":"Isolated"})", std::string(60, 'a') + "!"),
      Error);
}

// Where Oniguruma, whose dialect tokenizer files are written in, and PCRE2 read the same text differently.
TEST(PreTokenizers, SplitReadsOnigurumasDialect) {
  const auto removed = [](const std::string& expression, const std::string& text) {
    const Json json = {{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Removed"}};
    return split(json.dump().c_str(), text);
  };
  EXPECT_EQ(removed("\\h+", "x1fx \tG"), (Words{"x", "x \tG"}));    // a hexadecimal digit
  EXPECT_EQ(removed("\\s", "a\u180e b"), (Words{"a\u180e", "b"}));  // U+180E is no space
  EXPECT_EQ(removed("\\w+", "e\u0301²!"), (Words{"!"}));            // marks and some numbers are
  EXPECT_EQ(removed("[\\w]+", "e\u0301²!"), (Words{"²!"}));         // in a class they are not
  EXPECT_EQ(removed("a{2}+", "aaaaa"), (Words{"a"}));               // not possessive: repeated once more
  EXPECT_EQ(removed("^b|a$", "a\nb"), (Words{"\n"}));               // lines, not the text
  EXPECT_EQ(removed("[[a-f]&&[^c-d]]+", "abcdef"), (Words{"cd"}));
  EXPECT_EQ(removed("[a[xy]]+", "abxyc"), (Words{"b", "c"}));
  EXPECT_EQ(removed("[[:punct:]]", "a+b×c"), (Words{"a", "b", "c"}));
  EXPECT_EQ(removed("\\p{Punct}|\\p{^ASCII}", "a+b.é"), (Words{"a+b"}));
  EXPECT_EQ(removed("\\p{Han}+", "中·文"), (Words{"·"}));  // the script, not its extensions
  EXPECT_EQ(removed("(?m:a.b)|\\u4e2d", "a\nb中c"), (Words{"c"}));
  EXPECT_EQ(removed("\\v", "a\x0b\nb"), (Words{"a", "\nb"}));
  for (const char* refused :
       {"(?~a)", "\\y", "(?x)a b", "a(?i)b|c", "\\Qa\\E", "[a", "a)", "\\p{Nonsense}", "[z-a]", "*"}) {
    EXPECT_THROW(removed(refused, "a"), Error) << refused;
  }
}

TEST(PreTokenizers, EmptyMatchesCountUnlessTheyTouchTheOneBefore) {
  EXPECT_EQ(split(R"({"type":"Split","pattern":{"String":""},"behavior":"Isolated"})", "aéb"), (Words{"a", "é", "b"}));
  EXPECT_EQ(normalize(R"({"type":"Replace","pattern":{"Regex":"x*"},"content":"-"})", "axxb"), "-a-b-");
  EXPECT_EQ(normalize(R"({"type":"Replace","pattern":{"Regex":"x*"},"content":"-"})", ""), "");
}

TEST(PreTokenizers, ScriptsAndLengths) {
  EXPECT_EQ(split(R"({"type":"UnicodeScripts"})", "どこで生れ。Yes, да "),
            (Words{"どこで生れ", "。", "Yes", ", ", "да "}));
  EXPECT_EQ(split(R"({"type":"UnicodeScripts"})", "  a"), (Words{"a"}));
  EXPECT_EQ(split(R"({"type":"FixedLength","length":2})", "aéb中c"), (Words{"aé", "b中", "c"}));
  EXPECT_EQ(split(R"({"type":"FixedLength"})", "abcdefg"), (Words{"abcde", "fg"}));
  EXPECT_THROW(split(R"({"type":"FixedLength","length":0})", "a"), Error);
}

TEST(PreTokenizers, PunctuationBehaviors) {
  const auto with = [](const std::string& behavior) {
    return split((R"({"type":"Punctuation","behavior":")" + behavior + "\"}").c_str(), "a..b-c.");
  };
  EXPECT_EQ(with("Isolated"), (Words{"a", ".", ".", "b", "-", "c", "."}));
  EXPECT_EQ(with("Removed"), (Words{"a", "b", "c"}));
  EXPECT_EQ(with("MergedWithPrevious"), (Words{"a.", ".", "b-", "c."}));
  EXPECT_EQ(with("MergedWithNext"), (Words{"a", ".", ".b", "-c", "."}));
  EXPECT_EQ(with("Contiguous"), (Words{"a", "..", "b", "-", "c", "."}));
}

std::shared_ptr<const Vocabulary> vocabulary(const Words& tokens) {
  auto made = std::make_shared<Vocabulary>();
  for (size_t i = 0; i < tokens.size(); ++i) made->add(tokens[i], static_cast<int64_t>(i), "t");
  made->finish("t");
  return made;
}

std::vector<std::array<uint32_t, 3>> tokens_of(const TokenModel& model, const std::string& word) {
  std::vector<ModelToken> tokens;
  model.tokenize(word, tokens);
  std::vector<std::array<uint32_t, 3>> all;
  for (const ModelToken& token : tokens) all.push_back({static_cast<uint32_t>(token.id), token.begin, token.end});
  return all;
}

TEST(Models, WordPieceTakesTheLongestPiece) {
  const WordPiece model(vocabulary({"[UNK]", "un", "una", "##aff", "##able", "##a", "##ff", "é", "##é"}), {});
  using T = std::vector<std::array<uint32_t, 3>>;
  EXPECT_EQ(tokens_of(model, "unaffable"), (T{{2, 0, 3}, {6, 3, 5}, {4, 5, 9}}));
  EXPECT_EQ(tokens_of(model, "unaff"), (T{{2, 0, 3}, {6, 3, 5}}));
  EXPECT_EQ(tokens_of(model, "éé"), (T{{7, 0, 2}, {8, 2, 4}}));
  EXPECT_EQ(tokens_of(model, "unx"), (T{{0, 0, 3}}));
  EXPECT_EQ(tokens_of(model, std::string(101, 'a')), (T{{0, 0, 101}}));
}

TEST(Models, WordLevel) {
  const WordLevel model(vocabulary({"[UNK]", "a"}), "[UNK]");
  EXPECT_EQ(tokens_of(model, "a")[0][0], 1u);
  EXPECT_EQ(tokens_of(model, "b")[0][0], 0u);
}

TEST(Decoders, Kinds) {
  EXPECT_EQ(decode(R"({"type":"WordPiece","prefix":"##","cleanup":true})", {"a", "##b", ".", "'", "s", "do not"}),
            "ab. ' s don't");
  EXPECT_EQ(decode(R"({"type":"WordPiece","prefix":"##","cleanup":false})", {"##a", "##b", "."}), "##ab .");
  EXPECT_EQ(decode(R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"_"},"content":" "},
                       {"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})",
                   {"_a", "_b"}),
            "a b");
  EXPECT_EQ(decode(R"({"type":"ByteFallback"})", {"a", "<0xE5>", "<0x8F>", "<0xAB>", "b", "<0xE5>"}), "a叫b\ufffd");
  EXPECT_EQ(decode(R"({"type":"CTC","pad_token":"<pad>","word_delimiter_token":"|","cleanup":true})",
                   {"<pad>", "h", "h", "e", "l", "<pad>", "l", "o", "|", "|", "w"}),
            "hello w");
  EXPECT_EQ(decode(R"({"type":"Strip","content":"~","start":2,"stop":2})", {"~", "~~~", "~a~"}), "a");
  EXPECT_EQ(clean_up_spaces("a , b . c n't d 's ' e"), "a, b. cn't d's'e");
}

TEST(PostProcessors, TemplatesOfTheFixedKinds) {
  const Json bert = Json::parse(R"({"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]})");
  const PostProcessor first(Fields(bert, "t", "post_processor"));
  EXPECT_EQ(first.added(false), 2);
  EXPECT_EQ(first.added(true), 3);
  EXPECT_EQ(first.pieces(true)[4].type_id, 1);
  const Json roberta = Json::parse(
      R"({"type":"RobertaProcessing","sep":["</s>",2],"cls":["<s>",0],"trim_offsets":true,"add_prefix_space":false})");
  const PostProcessor second(Fields(roberta, "t", "post_processor"));
  EXPECT_EQ(second.added(true), 4);
  EXPECT_TRUE(second.trims_offsets());
}

TEST(PostProcessors, SequencesMayNest) {
  const Json json = Json::parse(R"({"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":true},
      {"type":"Sequence","processors":[{"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]}]}]})");
  const PostProcessor made(Fields(json, "t", "post_processor"));
  EXPECT_EQ(made.added(false), 2);
  EXPECT_EQ(made.trims(), std::vector<bool>{true});
}

TEST(Windows, StrideAndSides) {
  const auto windows = [](int64_t n, int64_t keep, int64_t stride, Side side) {
    std::vector<std::pair<int64_t, int64_t>> all;
    for (const Window& window : make_windows(n, keep, stride, side)) all.emplace_back(window.begin, window.end);
    return all;
  };
  using W = std::vector<std::pair<int64_t, int64_t>>;
  EXPECT_EQ(windows(5, 5, 0, Side::right), (W{{0, 5}}));
  EXPECT_EQ(windows(5, 2, 0, Side::right), (W{{0, 2}, {2, 4}, {4, 5}}));
  EXPECT_EQ(windows(5, 3, 1, Side::right), (W{{0, 3}, {2, 5}}));
  EXPECT_EQ(windows(5, 2, 0, Side::left), (W{{3, 5}, {1, 3}, {0, 1}}));
  EXPECT_EQ(windows(5, 0, 0, Side::right), (W{{0, 0}, {0, 5}}));
}

TEST(Utf8, ReplacesMaximalIllFormedParts) {
  std::string storage;
  const auto valid = [&](std::string_view text) { return std::string(utf8::valid(text, storage)); };
  EXPECT_EQ(valid("añb"), "añb");
  EXPECT_EQ(valid("a\xff"), "a\ufffd");
  EXPECT_EQ(valid("\xe4\xb8x"), "\ufffdx");                // cut in the middle: one replacement
  EXPECT_EQ(valid("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");  // a surrogate: one a byte
  EXPECT_EQ(valid("\xf0\x9f\x98"), "\ufffd");
  EXPECT_EQ(valid("\xc0\xaf"), "\ufffd\ufffd");
  EXPECT_EQ(valid("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");
}

}  // namespace
}  // namespace mica
