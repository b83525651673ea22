// The BPE model: its settings one by one, and its cost on long words.

#include "mica/tokenizers/models/bpe.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "mica/base/error.h"

namespace mica {
namespace {

std::shared_ptr<const Vocabulary> vocabulary_of(const std::vector<std::string>& tokens) {
  auto vocabulary = std::make_shared<Vocabulary>();
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary->add(tokens[i], static_cast<int64_t>(i), "t");
  vocabulary->finish("t");
  return vocabulary;
}

Merges merges_of(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Merges merges;
  for (const auto& [left, right] : pairs) merges.add(left, right);
  return merges;
}

// The tokens as "text:begin-end ...".
std::string tokens(const Bpe& bpe, std::string_view word) {
  std::vector<ModelToken> all;
  bpe.tokenize(word, all);
  std::string text;
  for (const ModelToken& token : all) {
    text += (text.empty() ? "" : " ") + std::string(bpe.vocabulary().token(token.id)) + ":" +
            std::to_string(token.begin) + "-" + std::to_string(token.end);
  }
  return text;
}

TEST(Bpe, LowestRankFirstThenLeftmost) {
  const auto vocabulary = vocabulary_of({"a", "b", "c", "ab", "bc", "aa", "abc"});
  const Bpe bpe(vocabulary, merges_of({{"b", "c"}, {"a", "b"}, {"a", "a"}, {"a", "bc"}}), {}, "t");
  EXPECT_EQ(tokens(bpe, "abc"), "abc:0-3");
  EXPECT_EQ(tokens(bpe, "aaa"), "aa:0-2 a:2-3");
  EXPECT_EQ(tokens(bpe, "abab"), "ab:0-2 ab:2-4");
}

TEST(Bpe, OfAPairTwiceTheLastCounts) {
  const auto vocabulary = vocabulary_of({"a", "b", "c", "ab", "bc"});
  const Bpe bpe(vocabulary, merges_of({{"a", "b"}, {"b", "c"}, {"a", "b"}}), {}, "t");
  EXPECT_EQ(tokens(bpe, "abc"), "a:0-1 bc:1-3");
}

TEST(Bpe, PrefixAndSuffix) {
  const auto vocabulary = vocabulary_of({"a", "##b", "##b</w>", "ab</w>", "a</w>", "##ab"});
  const Bpe bpe(vocabulary, merges_of({{"a", "##b</w>"}}),
                {.continuing_subword_prefix = "##", .end_of_word_suffix = "</w>"}, "t");
  EXPECT_EQ(tokens(bpe, "ab"), "ab</w>:0-2");
  EXPECT_EQ(tokens(bpe, "abb"), "a:0-1 ##b:1-2 ##b</w>:2-3");
  EXPECT_EQ(tokens(bpe, "a"), "a</w>:0-1");
}

TEST(Bpe, UnknownCharacters) {
  const auto vocabulary = vocabulary_of({"<unk>", "a", "b"});
  EXPECT_EQ(tokens(Bpe(vocabulary, {}, {}, "t"), "aéxb"), "a:0-1 b:1-2");  // they vanish
  EXPECT_EQ(tokens(Bpe(vocabulary, {}, {.unk_token = "<unk>"}, "t"), "aéxb"), "a:0-1 <unk>:1-3 <unk>:3-4 b:4-5");
  EXPECT_EQ(tokens(Bpe(vocabulary, {}, {.unk_token = "<unk>", .fuse_unk = true}, "t"), "aéxbx"),
            "a:0-1 <unk>:1-4 b:4-5 <unk>:5-6");
  const Bpe lacks(vocabulary, {}, {.unk_token = "[UNK]"}, "t");
  std::vector<ModelToken> out;
  EXPECT_THROW(lacks.tokenize("x", out), Error);
}

TEST(Bpe, ByteFallback) {
  const auto vocabulary = vocabulary_of({"<unk>", "a", "<0xC3>", "<0xA9>"});
  const Bpe bpe(vocabulary, {}, {.unk_token = "<unk>", .fuse_unk = true, .byte_fallback = true}, "t");
  EXPECT_EQ(tokens(bpe, "aé"), "a:0-1 <0xC3>:1-2 <0xA9>:2-3");
  EXPECT_EQ(tokens(bpe, "aêa"), "a:0-1 <unk>:1-3 a:3-4");
}

TEST(Bpe, IgnoreMerges) {
  const auto vocabulary = vocabulary_of({"a", "b", "ab"});
  EXPECT_EQ(tokens(Bpe(vocabulary, {}, {.ignore_merges = true}, "t"), "ab"), "ab:0-2");
  EXPECT_EQ(tokens(Bpe(vocabulary, {}, {}, "t"), "ab"), "a:0-1 b:1-2");
}

TEST(Bpe, Dropout) {
  const auto vocabulary = vocabulary_of({"a", "b", "ab"});
  const Merges merges = merges_of({{"a", "b"}});
  EXPECT_EQ(tokens(Bpe(vocabulary, merges, {.dropout = 0.0}, "t"), "ab"), "ab:0-2");
  EXPECT_EQ(tokens(Bpe(vocabulary, merges, {.dropout = 1.0}, "t"), "ab"), "a:0-1 b:1-2");
  const Bpe half(vocabulary, merges, {.dropout = 0.5}, "t");
  int whole = 0;
  for (int i = 0; i < 1000; ++i) whole += tokens(half, "ab") == "ab:0-2" ? 1 : 0;
  EXPECT_GT(whole, 400);
  EXPECT_LT(whole, 600);
}

TEST(Bpe, MergesThatNameNoTokenAreNamed) {
  const auto vocabulary = vocabulary_of({"a", "b", "ab"});
  for (const auto& pair : std::vector<std::pair<std::string, std::string>>{{"x", "b"}, {"a", "x"}, {"b", "a"}}) {
    try {
      const Bpe bpe(vocabulary, merges_of({pair}), {}, "t");
      ADD_FAILURE() << pair.first << " " << pair.second;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("merge 0"), std::string::npos) << error.what();
    }
  }
}

TEST(Bpe, FromRanks) {
  // "aab": a+a has the lower rank; then aa+b, which only ranks know.
  const auto bpe = Bpe::from_ranks(vocabulary_of({"a", "b", "aa", "ab", "aab", "bb"}), "t");
  EXPECT_EQ(tokens(*bpe, "aab"), "aab:0-3");
  EXPECT_EQ(tokens(*bpe, "aabb"), "aab:0-3 b:3-4");
  EXPECT_EQ(tokens(*bpe, "abb"), "ab:0-2 b:2-3");
  const Json json = bpe->to_json();
  EXPECT_EQ(json["merges"].size(), 5U);  // a a, a b, a ab, aa b, b b
}

// Joins as the definition says.
std::vector<int32_t> plain(const Bpe& bpe, std::string_view word) {
  std::vector<int32_t> ids;
  for (const char& c : word) ids.push_back(*bpe.vocabulary().find({&c, 1}));
  for (;;) {
    uint32_t best = PairTable::kNone;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const uint32_t rank = bpe.pairs().find(ids[i], ids[i + 1]);
      if (rank < best) best = rank, at = i;
    }
    if (best == PairTable::kNone) return ids;
    ids[at] = bpe.made()[best];
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(Bpe, ShortAndLongWordsAsTheDefinitionSays) {
  uint64_t random = 1;
  const auto pick = [&](uint64_t n) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return (random >> 33) % n;
  };
  std::vector<std::string> all = {"a", "b", "c", "d"};
  Merges merges;
  while (all.size() < 300) {
    const std::string left = all[pick(all.size())], right = all[pick(all.size())];
    if (left.size() + right.size() > 12 || std::find(all.begin(), all.end(), left + right) != all.end()) continue;
    merges.add(left, right);
    all.push_back(left + right);
  }
  const Bpe bpe(vocabulary_of(all), merges, {}, "t");
  for (int i = 0; i < 2000; ++i) {
    std::string word;
    for (uint64_t n = 1 + pick(150); n > 0; --n) word += static_cast<char>('a' + pick(4));
    std::vector<ModelToken> out;
    bpe.tokenize(word, out);
    std::vector<int32_t> ids;
    for (const ModelToken& token : out) ids.push_back(token.id);
    ASSERT_EQ(ids, plain(bpe, word)) << word;
  }
}

TEST(Bpe, OneWordOfAMegabyte) {
  std::vector<std::string> all = {"a"};
  Merges merges;
  for (int i = 0; i < 6; ++i) {
    merges.add(all.back(), all.back());
    all.push_back(all.back() + all.back());
  }
  const Bpe bpe(vocabulary_of(all), merges, {}, "t");
  std::vector<ModelToken> out;
  bpe.tokenize(std::string(1 << 20, 'a'), out);
  EXPECT_EQ(out.size(), (1u << 20) / 64);
}

}  // namespace
}  // namespace mica
