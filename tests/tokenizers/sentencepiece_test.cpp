// SentencePiece: .model files read and followed to the letter, the classes made of them, and the fused path.

#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/expected_cases.h"
#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tokenizers/readers/sentencepiece_model.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using test::ScratchFolder;

// A protocol buffer, field by field.
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string number(int field, uint64_t value) {
  return varint(static_cast<uint64_t>(field) << 3) + varint(value);
}
std::string bytes(int field, const std::string& value) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(value.size()) + value;
}
std::string piece(const std::string& text, float score, int type) {
  std::string real(4, '\0');
  std::memcpy(real.data(), &score, 4);
  return bytes(1, bytes(1, text) + varint(2 << 3 | 5) + real + number(3, static_cast<uint64_t>(type)));
}
std::string small_model(int kind) {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("▁", -2, 1) + piece("a", -1, 1) + piece("b", -1, 1) +
         piece("ab", -0.5F, kind == 2 ? 5 : 1) + piece("▁ab", -3, 1) + piece("XY", 0, 4) + bytes(2, number(3, kind)) +
         bytes(99, "unknown fields are skipped");
}

std::vector<int32_t> ids_of(const std::string& model, const std::string& text) {
  const auto engine =
      make_sentencepiece_engine(std::make_shared<SentencePieceModel>(read_sentencepiece_model(model, "t")));
  engine->prepare();
  EncodeScratch scratch;
  TokenList out;
  int32_t word = 0;
  engine->encode(text, false, false, word, scratch, out);
  return {out.ids.begin(), out.ids.end()};
}

TEST(SentencePieceModel, FourKindsOfModel) {
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(ids_of(small_model(1), "ab"), (Ids{2, 5}));
  EXPECT_EQ(ids_of(small_model(1), " a  XYb??"), (Ids{2, 3, 2, 7, 4, 0}));
  // The unused "ab" is made on the way to "▁ab", or falls apart again.
  EXPECT_EQ(ids_of(small_model(2), "ab"), (Ids{6}));
  EXPECT_EQ(ids_of(small_model(2), "aab"), (Ids{2, 3, 3, 4}));
  EXPECT_EQ(ids_of(small_model(3), "ab ?"), (Ids{6, 0}));
  EXPECT_EQ(ids_of(small_model(4), "aXY"), (Ids{2, 3, 7}));
}

TEST(SentencePieceModel, CutAnywhereItIsRefusedOrWhole) {
  const std::string whole = small_model(1);
  for (size_t size = 0; size < whole.size(); ++size) {
    try {
      const SentencePieceModel model = read_sentencepiece_model(whole.substr(0, size), "t");
      EXPECT_EQ(model.size(), model.vocabulary->size());
    } catch (const Error&) {
    }
  }
  EXPECT_THROW(read_sentencepiece_model("", "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(piece("a", 0, 1), "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(whole + piece("<unk2>", 0, 2), "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(whole + piece("a", 0, 1), "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(whole + piece("z", 0, 7), "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(whole + piece("\xff", 0, 1), "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(whole + bytes(2, number(35, 1)), "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(whole + bytes(2, number(3, 9)), "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(whole + "\x0b", "t"), Error);
  EXPECT_THROW(read_sentencepiece_model(whole + "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "t"), Error);
}

class RawModel : public testing::TestWithParam<const char*> {};

TEST_P(RawModel, GivesWhatSentencePieceGives) {
  const std::string name = GetParam();
  const ScratchFolder folder;
  test::unpack("sentencepiece", folder, {name + ".model"});
  const Tokenizer tokenizer = Tokenizer::from_file(folder.file(name + ".model"));
  for (const Json& c : test::lines_of_file(test::data_folder("sentencepiece") + "/" + name + ".jsonl.gz")) {
    if (c["case"] == "model") continue;
    const auto text = c["text"].get<std::string>();
    const auto encoding = tokenizer(text);
    std::vector<size_t> places;  // of characters, in bytes
    for (size_t at = 0; at <= text.size(); ++at) {
      if (at == text.size() || (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80) places.push_back(at);
    }
    Json offsets = Json::array();
    for (const CharSpan span : encoding.offsets(0)) {
      offsets.push_back({places[static_cast<size_t>(span.begin)], places[static_cast<size_t>(span.end)]});
    }
    const auto ids = encoding.input_ids[0];
    ASSERT_EQ(Json(std::vector<int32_t>(ids.begin(), ids.end())), c["ids"]) << text;
    ASSERT_EQ(Json(encoding.tokens()), c["pieces"]) << text;
    ASSERT_EQ(offsets, c["byte_offsets"]) << text;
    ASSERT_EQ(tokenizer.decode(ids), c["decoded"]) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(SentencePiece, RawModel, testing::Values("byte_fallback_2000", "char", "bpe_1000"),
                         [](const auto& param_info) { return std::string(param_info.param); });

TEST(SentencePieceClasses, T5FromTokenizerJson) {
  const ScratchFolder folder;
  test::unpack("t5-small", folder, {"tokenizer.json", "tokenizer_config.json"});
  test::check_all(AutoTokenizer::from_pretrained(folder.path()), "t5-small", "tokenizer.json");
}

TEST(SentencePieceClasses, AlbertFromItsModel) {
  const ScratchFolder folder, saved;
  test::unpack("albert-base-v2", folder, {"spiece.model", "tokenizer_config.json"});
  const Tokenizer tokenizer = AutoTokenizer::from_pretrained(folder.path());
  test::check_all(tokenizer, "albert-base-v2", "spiece.model");
  tokenizer.save_pretrained(saved.path());
  test::check_all(AutoTokenizer::from_pretrained(saved.path()), "albert-base-v2", "saved tokenizer.json");
}

TEST(SentencePieceClasses, PiecesAroundTheModel) {
  const auto load = [](const char* name, const std::string& model) {
    const ScratchFolder folder;
    folder.write("spiece.model", model);
    folder.write("tokenizer_config.json", std::string(R"({"tokenizer_class":")") + name + "\"}");
    return AutoTokenizer::from_pretrained(folder.path());
  };
  const std::string model = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁", -2, 1) +
                            piece("a", -1, 1) + bytes(2, number(3, 1));
  const auto ids = [&](const Tokenizer& tokenizer, const char* text) {
    const auto row = tokenizer(text).input_ids;
    return std::vector<int32_t>(row[0].begin(), row[0].end());
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(ids(load("XLMRobertaTokenizer", model), "a<mask>"), (Ids{0, 4, 5, 6, 2}));
  EXPECT_EQ(ids(load("T5Tokenizer", model), "a<extra_id_0>"), (Ids{3, 4, 104, 2}));
  EXPECT_EQ(ids(load("MBartTokenizer", model), "a"), (Ids{4, 5, 2, 9}));
  EXPECT_THROW(load("AlbertTokenizer", model), Error);  // has no [CLS]
  EXPECT_THROW(load("LlamaTokenizer", model), Error);   // its file is tokenizer.model
}

TEST(SentencePieceClasses, GemmaMergesInTheOrderOfItsPieces) {
  const auto load = [](const char* name, const char* more) {
    const ScratchFolder folder;
    folder.write("tokenizer.model", piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("▁▁", -9, 1) +
                                        piece("▁a", -1, 1) + piece("▁", -3, 1) + piece("a", -2, 1) +
                                        bytes(2, number(3, 2)));
    folder.write("tokenizer_config.json",
                 std::string(R"({"bos_token":"<s>","tokenizer_class":")") + name + "\"" + more + "}");
    return AutoTokenizer::from_pretrained(folder.path());
  };
  const auto ids = [](const Tokenizer& tokenizer, const char* text) {
    const auto row = tokenizer(text).input_ids;
    return std::vector<int32_t>(row[0].begin(), row[0].end());
  };
  using Ids = std::vector<int32_t>;
  const Tokenizer gemma = load("GemmaTokenizer", "");
  EXPECT_EQ(ids(gemma, "a  a"), (Ids{5, 2, 5}));
  EXPECT_EQ(gemma.decode(ids(gemma, " a  a")), " a  a");
  EXPECT_EQ(ids(load("GemmaTokenizer", R"(,"add_bos_token":true)"), "a"), (Ids{1, 5}));
  EXPECT_EQ(ids(load("LlamaTokenizer", ""), "a  a"), (Ids{1, 3, 4, 3}));
  // Both pad on the left where tokenizer_config.json says nothing.
  EXPECT_EQ(gemma.padding_side(), Side::left);
  EXPECT_EQ(load("LlamaTokenizer", "").padding_side(), Side::left);
  EXPECT_EQ(load("GemmaTokenizer", R"(,"padding_side":"right")").padding_side(), Side::right);
}

// --- the fused path

class RandomText {
 public:
  RandomText(uint32_t seed, const Vocabulary& vocabulary) : random_(seed), vocabulary_(vocabulary) {}
  std::string next() {
    static const char* const kOdd[] = {"''",           "``",     "'",
                                       "\r\n",         "\r",     "\u200d",
                                       "\u00b4",       "\u00a8", "  ",
                                       "\u3000",       "\u2581", "👩‍👩‍👧",
                                       "🇩🇪",           "é",      "\u0600",
                                       "\u1100\u1161", "ﬁ",      "\ufeff",
                                       "\u200b",       "\x01",   "\u0915\u094d\u0958\u0300",
                                       "\u200d™"};
    static constexpr int kStarts[] = {0x80,   0x250,  0x300,   0x400,   0x5d0,   0x600,   0x900,   0xe00,  0x1100,
                                      0x1e00, 0x2000, 0x2100,  0x3040,  0x4e00,  0xac00,  0xfb00,  0xff00, 0x8d0,
                                      0x302a, 0x1d15, 0x1d160, 0x20000, 0x2f800, 0x1f600, 0x1f3fb, 0x1f1e6};
    std::string text;
    for (int pieces = pick(1, 12); pieces > 0; --pieces) {
      switch (pick(0, 7)) {
        case 0:
        case 1:
          text += vocabulary_.token(pick(0, static_cast<int>(vocabulary_.id_bound()) - 1));
          break;
        case 2:
          for (int n = pick(1, 12); n > 0; --n) text += static_cast<char>(pick(0, 127));
          break;
        case 3:
          for (int n = pick(20, 70); n > 0; --n) text += static_cast<char>(pick('a', 'e'));
          break;
        case 4:
          utf8::append(static_cast<char32_t>(pick('A', 'z')), text);
          for (int n = pick(1, 3); n > 0; --n) utf8::append(static_cast<char32_t>(pick(0x300, 0x36f)), text);
          break;
        case 5:
          text += kOdd[pick(0, static_cast<int>(std::size(kOdd)) - 1)];
          break;
        default:
          const int start = kStarts[pick(0, static_cast<int>(std::size(kStarts)) - 1)];
          for (int n = pick(1, 8); n > 0; --n) {
            const int c = start + pick(0, 120);
            if (c < 0xd800 || c > 0xdfff) utf8::append(static_cast<char32_t>(c), text);
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

void compare_paths(Json json, int texts) {
  const auto fast = read_tokenizer_json(json.dump(), "t"), slow = read_tokenizer_json(json.dump(), "t");
  fast->prepare();
  slow->prepare();
  slow->forbid_fast_path();
  ASSERT_TRUE(fast->has_fast_path());
  RandomText random(5, fast->model->vocabulary());
  EncodeScratch scratch;
  for (int i = 0; i < texts; ++i) {
    const std::string text = random.next();
    TokenList b;
    int32_t word_b = 0;
    slow->encode(text, false, i % 5 == 0, word_b, scratch, b);
    // The second time all its words are known.
    for (int time = 0; time < 2; ++time) {
      TokenList a;
      int32_t word_a = 0;
      fast->encode(text, false, i % 5 == 0, word_a, scratch, a);
      ASSERT_EQ(a.ids, b.ids) << Json(text);
      ASSERT_EQ(a.offsets, b.offsets) << Json(text);
      ASSERT_EQ(a.words, b.words) << Json(text);
      ASSERT_EQ(a.odd, b.odd) << Json(text);
      ASSERT_EQ(word_a, word_b);
    }
  }
}

TEST(UnigramFast, GivesWhatTheComponentsGive) {
  Json t5 = Json::parse(test::read_gz(test::data_folder("t5-small") + "/tokenizer.json.gz"));
  compare_paths(t5, 4000);
  const Json map = t5["normalizer"];
  t5["normalizer"] = Json::parse(R"({"type":"Sequence","normalizers":[
      {"type":"Replace","pattern":{"String":"``"},"content":"\""},
      {"type":"Replace","pattern":{"String":"''"},"content":"\""},
      {"type":"NFKD"},{"type":"StripAccents"},{"type":"Lowercase"}]})");
  compare_paths(t5, 2000);
  t5["normalizer"]["normalizers"].push_back(map);
  compare_paths(t5, 4000);
  for (const char* scheme : {"always", "first", "never"}) {
    const Json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}};
    t5["pre_tokenizer"] = metaspace;
    t5["normalizer"] = map;
    compare_paths(t5, 1000);
    t5["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers", Json::array({Json{{"type", "WhitespaceSplit"}}, metaspace})}};
    t5["normalizer"] = nullptr;
    compare_paths(t5, 1000);
  }
  t5["model"]["byte_fallback"] = true;
  for (int i = 0; i < 256; ++i) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", i);
    t5["model"]["vocab"].push_back(Json::array({name, 0.0}));
  }
  compare_paths(t5, 1000);
}

TEST(UnigramFast, LinearOnHostileText) {
  const std::string json = test::read_gz(test::data_folder("t5-small") + "/tokenizer.json.gz");
  const auto engine = read_tokenizer_json(json, "t");
  engine->prepare();
  EncodeScratch scratch;
  for (const std::string unit : {"a", "é", "中", "a\u0301", " ", "\u0301", "\u200d", "<extra_id_1", "\u2581"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    TokenList out;
    int32_t word = 0;
    engine->encode(text, false, false, word, scratch, out);
    EXPECT_LE(out.size(), text.size() + 1);
  }
}

}  // namespace
}  // namespace mica
