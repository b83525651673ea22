// Unigram and the components that come with it, against what the reference gives.

#include "mica/tokenizers/models/unigram.h"

#include <algorithm>
#include <array>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tokenizers/chars_map.h"
#include "mica/tokenizers/graphemes.h"
#include "mica/tokenizers/metaspace.h"
#include "mica/tokenizers/models/score_text.h"
#include "mica/tokenizers/precompiled.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using Tokens = std::vector<std::array<uint32_t, 3>>;
using Scored = std::vector<std::pair<std::string, double>>;
using Words = std::vector<std::string>;
using Spans = std::vector<CharSpan>;

Unigram model_of(const Scored& pieces, Unigram::Settings settings) {
  auto vocabulary = std::make_shared<Vocabulary>();
  std::vector<double> scores;
  for (const auto& [piece, score] : pieces) {
    vocabulary->add(piece, static_cast<int64_t>(scores.size()), "t");
    scores.push_back(score);
  }
  vocabulary->finish_with_duplicates("t");
  return {vocabulary, scores, settings};
}

Tokens tokens_of(const Unigram& model, const std::string& word) {
  std::vector<ModelToken> tokens;
  model.tokenize(word, tokens);
  Tokens all;
  for (const ModelToken& token : tokens) all.push_back({static_cast<uint32_t>(token.id), token.begin, token.end});
  return all;
}

TEST(Unigram, TakesTheCutWithTheHighestSum) {
  const Unigram model =
      model_of({{"<unk>", 0}, {"a", 0}, {"b", 0}, {"c", 0}, {"d", 0}, {"cd", 1}, {"ab", 2}, {"abc", 5}, {"abcd", 10}},
               {.unk_id = 0});
  EXPECT_EQ(tokens_of(model, "abcdacdxx"), (Tokens{{8, 0, 4}, {1, 4, 5}, {5, 5, 7}, {0, 7, 9}}));
  EXPECT_EQ(tokens_of(model, "éaé"), (Tokens{{0, 0, 2}, {1, 2, 3}, {0, 3, 5}}));
}

TEST(Unigram, OfEqualSumsTheFirstFoundStays) {
  const Unigram model = model_of({{"<unk>", 0}, {"a", -1}, {"ab", -2}, {"b", -1}, {"bb", -2}}, {.unk_id = 0});
  EXPECT_EQ(tokens_of(model, "ab"), (Tokens{{2, 0, 2}}));
  EXPECT_EQ(tokens_of(model, "abb"), (Tokens{{1, 0, 1}, {4, 1, 3}}));
}

TEST(Unigram, UnknownRuns) {
  const Unigram bytes = model_of({{"<unk>", 0}, {"a", -1}, {"<0xC3>", 0}, {"<0xA9>", 0}, {"ü", -100}},
                                 {.unk_id = 0, .byte_fallback = true});
  EXPECT_EQ(tokens_of(bytes, "aé"), (Tokens{{1, 0, 1}, {2, 1, 3}, {3, 1, 3}}));
  // One byte of the run is missing: all of it is unknown.
  EXPECT_EQ(tokens_of(bytes, "aéxa"), (Tokens{{1, 0, 1}, {0, 1, 4}, {1, 4, 5}}));
  // The unknown token's own text is that token, though all its bytes are there.
  const Unigram spelled =
      model_of({{"<unk>", 0}, {"<0x3C>", -1}, {"<0x75>", -1}, {"<0x6E>", -1}, {"<0x6B>", -1}, {"<0x3E>", -1}},
               {.unk_id = 0, .byte_fallback = true});
  EXPECT_EQ(tokens_of(spelled, "<unk>"), (Tokens{{0, 0, 5}}));
  EXPECT_EQ(tokens_of(spelled, "<u"), (Tokens{{1, 0, 2}, {2, 0, 2}}));
  const Unigram none = model_of({{"a", -1}}, {});
  EXPECT_EQ(tokens_of(none, "aa"), (Tokens{{0, 0, 1}, {0, 1, 2}}));
  EXPECT_THROW(tokens_of(none, "ab"), Error);
  // What is unknown one by one may be a token together.
  const Unigram rare = model_of({{"<unk>", 0}, {"xy", -1000}}, {.unk_id = 0});
  EXPECT_EQ(tokens_of(rare, "xy"), (Tokens{{1, 0, 2}}));
}

TEST(Unigram, OfEqualTokensTheLastCounts) {
  const Unigram model = model_of({{"<unk>", 0}, {"a", -1}, {"ab", -1}, {"b", -1}, {"ab", -9}}, {.unk_id = 0});
  EXPECT_EQ(tokens_of(model, "ab"), (Tokens{{1, 0, 1}, {3, 1, 2}}));
  EXPECT_EQ(model.vocabulary().find("ab"), 4);
  EXPECT_EQ(model.vocabulary().token(2), "ab");
}

TEST(Scores, AreReadAsTheReferenceReadsThem) {
  EXPECT_EQ(parse_score("-3.25"), -3.25);
  EXPECT_EQ(parse_score("12e-1"), 1.2);
  EXPECT_EQ(parse_score("0"), 0);
  // 20 digits: those beyond 64 bits are dropped.
  EXPECT_EQ(parse_score("18446744073709551616"), 1844674407370955161.0 * 10);
  // The nearest double to the first of these is its neighbour; the reference divides 28164...8 by 10^15.
  EXPECT_EQ(parse_score("-9.318675994873047"), -9318675994873047.0 / 1e15);
  for (const char* text :
       {"-9.318675994873047", "-13.5298", "-1e-300", "0.1", "-3.4837446212768555", "-12.874654769897461"}) {
    const double score = parse_score(text);
    EXPECT_EQ(parse_score(Json(writable_score(score)).dump()), score) << text;
  }
}

NormalizedText split(const char* json, const std::string& input, Words& words, Spans& spans) {
  const Json config = Json::parse(json);
  NormalizedText text;
  text.assign(input, 0);
  std::vector<ByteRange> pieces = {text.all()};
  make_pre_tokenizer(Fields(config, "t", "pre_tokenizer"))->split(text, pieces);
  words.clear();
  spans.clear();
  for (const ByteRange piece : pieces) {
    words.emplace_back(text.view(piece));
    spans.push_back(text.original(piece));
  }
  return text;
}

TEST(Metaspace, Schemes) {
  Words words;
  Spans spans;
  split(R"({"type":"Metaspace","replacement":"▁","add_prefix_space":true,"str_rep":"▁"})", "Hey  you", words, spans);
  EXPECT_EQ(words, (Words{"▁Hey", "▁", "▁you"}));
  EXPECT_EQ(spans, (Spans{{0, 3}, {3, 4}, {4, 8}}));
  split(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":true})", "Hey you", words, spans);
  EXPECT_EQ(words, (Words{"Hey", "▁you"}));
  split(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false})", " a▁b", words, spans);
  EXPECT_EQ(words, (Words{"▁a▁b"}));
  const char* first = R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},
                          {"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]})";
  split(first, "a b", words, spans);
  EXPECT_EQ(words, (Words{"_a", "b"}));
  split(first, " a b", words, spans);
  EXPECT_EQ(words, (Words{"a", "b"}));
  split(R"({"type":"Metaspace","replacement":"▁"})", "▁▁a", words, spans);
  EXPECT_EQ(words, (Words{"▁", "▁a"}));
  EXPECT_THROW(split(R"({"type":"Metaspace","replacement":"ab"})", "a", words, spans), Error);
  EXPECT_THROW(split(R"({"type":"Metaspace","replacement":"a","add_prefix_space":false,"prepend_scheme":"first"})", "a",
                     words, spans),
               Error);
}

TEST(Metaspace, Decodes) {
  const auto decode = [](const char* json, Words tokens) {
    const Json config = Json::parse(json);
    make_decoder(Fields(config, "t", "decoder"))->decode(tokens);
    std::string text;
    for (const std::string& token : tokens) text += token;
    return text;
  };
  EXPECT_EQ(decode(R"({"type":"Metaspace","replacement":"▁"})", {"▁Hey▁", "▁you"}), "Hey you");
  EXPECT_EQ(decode(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never"})", {"▁Hey", "▁you"}), " Hey you");
  EXPECT_EQ(decode(R"({"type":"Replace","pattern":{"Regex":"_+"},"content":" "})", {"a__b", "_"}), "a b ");
}

// A map with one entry, laid out by hand: from the root each byte of the key leads to a block of its own.
CharsMap map_of(const std::string& key, const std::string& value) {
  std::vector<uint32_t> units(256 * (key.size() + 2));
  uint32_t at = 0, block = 256;
  for (const char c : key) {
    units[at] |= (at ^ block) << 10;
    at = block ^ static_cast<unsigned char>(c);
    units[at] |= static_cast<unsigned char>(c);
    block += 256;
  }
  units[at] |= 1u << 8 | (at ^ block) << 10;
  units[block] = 1u << 31;
  std::string bytes;
  const auto put = [&](uint32_t word) {
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>(word >> (8 * i) & 0xff);
  };
  put(static_cast<uint32_t>(units.size() * 4));
  for (const uint32_t unit : units) put(unit);
  return {bytes + value + '\0', "t"};
}

std::string apply(const CharsMap& map, const std::string& input, Spans* spans = nullptr) {
  NormalizedText text;
  text.assign(input, 0);
  Precompiled(map).normalize(text);
  if (spans != nullptr) {
    spans->clear();
    for (uint32_t i = 0; i < text.text().size(); ++i) spans->push_back(text.original({i, i + 1}));
  }
  return text.text();
}

TEST(Precompiled, ReplacesClustersAndCharacters) {
  Spans spans;
  EXPECT_EQ(apply(map_of("a", "xy"), "bab", &spans), "bxyb");
  EXPECT_EQ(spans, (Spans{{0, 1}, {1, 2}, {1, 2}, {2, 3}}));
  // A short cluster is replaced whole, marks included; of a long one only the character itself.
  EXPECT_EQ(apply(map_of("a", "x"), "a\u0301b"), "xb");
  EXPECT_EQ(apply(map_of("a", "x"), "a\u0301\u0302\u0303b"), "x\u0301\u0302\u0303b");
  EXPECT_EQ(apply(map_of("a\u0301", "á"), "a\u0301a"), "áa");
  // What vanishes counts as part of the character before; at the start, what follows moves up.
  EXPECT_EQ(apply(map_of("a", ""), "bac", &spans), "bc");
  EXPECT_EQ(spans, (Spans{{0, 1}, {2, 3}}));
  EXPECT_EQ(apply(map_of("a", ""), "abc", &spans), "bc");
  EXPECT_EQ(spans, (Spans{{0, 1}, {1, 2}}));
  EXPECT_EQ(apply(map_of("\r", " "), "a\r\nb"), "a b");
}

TEST(Precompiled, BrokenMapsAreRefused) {
  const std::string good = map_of("a", "xy").bytes();
  EXPECT_NO_THROW(CharsMap(good, "t"));
  for (const size_t size : {0, 1, 3, 4, 100}) EXPECT_THROW(CharsMap(good.substr(0, size), "t"), Error) << size;
  EXPECT_THROW(CharsMap(good + "\xff", "t"), Error);
  std::string outside = good;
  outside[4 + 4 * 512] = 100;  // the value of the entry
  EXPECT_THROW(CharsMap(outside, "t"), Error);
  EXPECT_EQ(decode_base64(encode_base64(good), "t"), good);
  EXPECT_EQ(decode_base64("YWI=", "t"), "ab");
  for (const char* text : {"a", "ab=c", "a===", "ab c", "YWJ="}) EXPECT_THROW(decode_base64(text, "t"), Error) << text;
}

TEST(Nmt, Cleans) {
  const Json config = Json::parse(R"({"type":"Nmt"})");
  NormalizedText text;
  text.assign("a\x01\u2581b\u200b\tc", 0);
  make_normalizer(Fields(config, "t", "normalizer"))->normalize(text);
  EXPECT_EQ(text.text(), "a b  c");
}

TEST(Graphemes, Clusters) {
  const auto clusters = [](const std::string& text) {
    std::vector<size_t> lengths;
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(lengths.back())) {
      lengths.push_back(graphemes::cluster_length(rest));
    }
    return lengths;
  };
  using L = std::vector<size_t>;
  EXPECT_EQ(clusters("ab"), (L{1, 1}));
  EXPECT_EQ(clusters("\r\n\n\r"), (L{2, 1, 1}));
  EXPECT_EQ(clusters("e\u0301x"), (L{3, 1}));
  EXPECT_EQ(clusters("\u1112\u1161\u11ab\u1100"), (L{9, 3}));
  EXPECT_EQ(clusters("👩‍👩‍👧👩"), (L{18, 4}));
  EXPECT_EQ(clusters("🇩🇪🇫🇷🇬"), (L{8, 8, 4}));
  EXPECT_EQ(clusters("\u0915\u094d\u0937x"), (L{9, 1}));
  EXPECT_EQ(clusters("\u0600a"), (L{3}));
  EXPECT_EQ(clusters("\U000e0016\u0343\u034e"), (L{4, 4}));  // not assigned, and a control
}

TEST(UnigramFile, ReadsWithoutTypeAndReportsBadIds) {
  Json json = test::small_tokenizer();
  json["normalizer"] = json["pre_tokenizer"] = json["post_processor"] = nullptr;
  json["added_tokens"] = Json::array();
  json["decoder"] = Json::parse(R"({"type":"Metaspace","replacement":"▁"})");
  json["model"] = Json::parse(R"({"unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2]]})");
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "t");
  const auto encoding = tokenizer("ab?");
  EXPECT_TRUE(std::ranges::equal(encoding.input_ids[0], std::vector<int32_t>{1, 2, 0}));
  // An unknown token shows what it stands for.
  EXPECT_EQ(encoding.tokens(), (Words{"a", "b", "?"}));
  EXPECT_EQ(Tokenizer::from_json(tokenizer.to_json(), "t").to_json(), tokenizer.to_json());
  json["model"]["unk_id"] = 3;
  EXPECT_THROW(Tokenizer::from_json(json.dump(), "t"), Error);
  json["model"] = Json::parse(R"({"type": "Unigram", "unk_id": 0, "vocab": {"<unk>": 0}})");
  EXPECT_THROW(Tokenizer::from_json(json.dump(), "t"), Error);
  json["model"] = Json::parse(R"({"type": "WordLevel", "unk_token": "a", "vocab": [["a", 0.0]]})");
  EXPECT_THROW(Tokenizer::from_json(json.dump(), "t"), Error);
}

}  // namespace
}  // namespace mica
