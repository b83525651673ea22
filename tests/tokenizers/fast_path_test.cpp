// The fused path gives what the separate components give, on random text and for every setting of the normalizer.

#include <random>

#include <gtest/gtest.h>

#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

class RandomText {
 public:
  RandomText(uint32_t seed, const Vocabulary& vocabulary) : random_(seed), vocabulary_(vocabulary) {}

  std::string next() {
    std::string text;
    for (int pieces = pick(1, 16); pieces > 0; --pieces) {
      switch (pick(0, 9)) {
        case 0:
        case 1:
        case 2:
          text += vocabulary_.token(pick(0, static_cast<int>(vocabulary_.id_bound()) - 1));
          break;
        case 3:
          for (int n = pick(1, 20); n > 0; --n) text += static_cast<char>(pick(0, 127));
          break;
        case 4:
          for (int n = pick(90, 120); n > 0; --n) text += static_cast<char>(pick('a', 'e'));
          break;
        case 5:
          utf8::append(static_cast<char32_t>(pick('A', 'z')), text);
          for (int n = pick(1, 3); n > 0; --n) utf8::append(static_cast<char32_t>(pick(0x300, 0x36f)), text);
          break;
        default: {
          static constexpr int starts[] = {0x80,    0x100,   0x370,   0x400,   0x5d0,  0x900,   0xe00,  0x1100,
                                           0x1e00,  0x2000,  0x3000,  0x4e00,  0xac00, 0xf900,  0xff00, 0x1d15,
                                           0x1d160, 0x20000, 0x2f800, 0x1f600, 0xfffd, 0x16ff0, 0x302a, 0x8d0};
          const int start = starts[pick(0, static_cast<int>(std::size(starts)) - 1)];
          for (int n = pick(1, 8); n > 0; --n) {
            const int c = start + pick(0, 120);
            if (c < 0xd800 || c > 0xdfff) utf8::append(static_cast<char32_t>(c), text);
          }
        }
      }
      if (pick(0, 2) == 0) text += ' ';
    }
    return text;
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  std::mt19937 random_;
  const Vocabulary& vocabulary_;
};

void compare(const Engine& fast, const Engine& components, int texts, uint32_t seed) {
  ASSERT_TRUE(fast.has_fast_path());
  ASSERT_FALSE(components.has_fast_path());
  RandomText random(seed, fast.model->vocabulary());
  EncodeScratch scratch;
  for (int i = 0; i < texts; ++i) {
    const std::string text = random.next();
    TokenList a, b;
    int32_t word_a = 0, word_b = 0;
    fast.encode(text, false, i % 5 == 0, word_a, scratch, a);
    components.encode(text, false, i % 5 == 0, word_b, scratch, b);
    ASSERT_EQ(a.ids, b.ids) << text;
    ASSERT_EQ(a.offsets, b.offsets) << text;
    ASSERT_EQ(a.words, b.words) << text;
    ASSERT_EQ(word_a, word_b) << text;
  }
}

std::shared_ptr<Engine> engine_of(const std::string& json, bool components) {
  auto engine = read_tokenizer_json(json, "t");
  engine->prepare();
  if (components) engine->forbid_fast_path();
  return engine;
}

TEST(FastPath, EverySettingOfTheNormalizer) {
  for (int bits = 0; bits < 24; ++bits) {
    Json json = test::small_tokenizer();
    Json& normalizer = json["normalizer"];
    normalizer["clean_text"] = (bits & 1) != 0;
    normalizer["handle_chinese_chars"] = (bits & 2) != 0;
    normalizer["lowercase"] = (bits & 4) != 0;
    if (bits / 8 > 0) normalizer["strip_accents"] = bits / 8 == 1;
    if (bits % 5 == 0) json["model"]["max_input_chars_per_word"] = bits % 3;
    const std::string text = json.dump();
    compare(*engine_of(text, false), *engine_of(text, true), 300, static_cast<uint32_t>(bits));
  }
}

TEST(FastPath, RealVocabulary) {
  const std::string json = test::read_gz(test::data_folder("bert-base-uncased") + "/tokenizer.json.gz");
  compare(*engine_of(json, false), *engine_of(json, true), 20000, 1);
}

TEST(FastPath, EveryCharacterBetweenLetters) {
  const std::string json = test::read_gz(test::data_folder("bert-base-uncased") + "/tokenizer.json.gz");
  const auto fast = engine_of(json, false), components = engine_of(json, true);
  EncodeScratch scratch;
  for (char32_t c = 0; c < 0x30000; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    std::string text = "ab";
    utf8::append(c, text);
    text += "cd";
    TokenList a, b;
    int32_t word = 0;
    fast->encode(text, false, false, word, scratch, a);
    components->encode(text, false, false, word = 0, scratch, b);
    ASSERT_EQ(a.ids, b.ids) << static_cast<uint32_t>(c);
    ASSERT_EQ(a.offsets, b.offsets) << static_cast<uint32_t>(c);
  }
}

TEST(DecodeTable, GivesTheTextThatTheDecoderGives) {
  Json json = Json::parse(test::read_gz(test::data_folder("bert-base-uncased") + "/tokenizer.json.gz"));
  std::mt19937 random(5);
  for (const Json& decoder : {json["decoder"], Json{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", false}}}) {
    json["decoder"] = decoder;
    const auto fast = engine_of(json.dump(), false), components = engine_of(json.dump(), true);
    for (int i = 0; i < 2000; ++i) {
      std::vector<int32_t> ids(random() % 12);
      // Special tokens, and ids that are none, among ordinary ones.
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % 4 == 0 ? random() % 110 : random() % 30600) - 3;
      for (const bool skip : {false, true}) ASSERT_EQ(fast->decode(ids, skip), components->decode(ids, skip));
    }
  }
}

TEST(FastPath, LinearOnHostileText) {
  const auto engine = engine_of(test::small_tokenizer().dump(), false);
  EncodeScratch scratch;
  for (const std::string unit : {"a", "é", "中", "a\u0301", " ", "!", "\u0301", "[MASK]", "[MAS"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    TokenList out;
    int32_t word = 0;
    engine->encode(text, false, false, word, scratch, out);
    EXPECT_LE(out.size(), text.size());
  }
}

}  // namespace
}  // namespace mica
