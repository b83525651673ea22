// The quick reader of a tokenizer.json's bulk against the general one.

#include "mica/tokenizers/readers/bulk_scanner.h"

#include <random>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/readers/tokenizer_json.h"

namespace mica {
namespace {

// What a file gives, or the error that it is.
std::string read_as(const std::string& json, bool quickly) {
  try {
    return write_tokenizer_json(*read_tokenizer_json(json, "t", quickly));
  } catch (const Error& error) {
    return error.what();
  }
}

std::string with_vocabulary(const std::string& vocabulary) {
  return R"({"version": "1.0", "model": {"type": "WordLevel", "unk_token": "u", "vocab": )" + vocabulary + "}}";
}

TEST(BulkScanner, ReadsVocabulariesAndMerges) {
  ScannedFile scanned;
  ASSERT_TRUE(scan_bulk(
      R"({"a": [{"model": 1}, "}"], "model" : {"x": {"vocab": {}}, "vocab": {"u": 0, "\u00e9\n\ud83d\ude00": 12},
      "merges": ["a b", ["c d", "e"]], "y": 2} })",
      "t", scanned));
  EXPECT_EQ(scanned.rest,
            R"({"a": [{"model": 1}, "}"], "model" : {"x": {"vocab": {}}, "vocab": null,
      "merges": null, "y": 2} })");
  scanned.data.vocabulary->finish("t");
  EXPECT_EQ(scanned.data.vocabulary->find("é\n😀"), 12);
  ASSERT_EQ(scanned.data.merges.size(), 2u);
  EXPECT_EQ(scanned.data.merges.right(0), "b");
  EXPECT_EQ(scanned.data.merges.left(1), "c d");
}

TEST(BulkScanner, ReadsScores) {
  ScannedFile scanned;
  ASSERT_TRUE(scan_bulk(R"({"model": {"vocab": [["a", -1.5e-3], ["b", 0], ["c", -12.25]]}})", "t", scanned));
  EXPECT_TRUE(scanned.data.scored);
  EXPECT_EQ(scanned.data.scores, (std::vector<double>{-1.5e-3, 0, -12.25}));
}

TEST(BulkScanner, LeavesTheUnusualToTheGeneralReader) {
  for (const char* vocabulary : {R"({"u": 1.0})",
                                 R"({"u": -1})",
                                 R"({"u": 01})",
                                 R"({"u": 1e2})",
                                 R"({"u": 1234567890})",
                                 R"({"u": "1"})",
                                 R"({"u" 1})",
                                 R"({"u": 1,})",
                                 R"({"\ud800": 1})",
                                 R"({"\x": 1})",
                                 "{\"a\nb\": 1}",
                                 R"([["a", .5]])",
                                 R"([["a", 1.]])",
                                 R"([["a", 01]])",
                                 R"([["a", 1e999]])",
                                 R"([["a", 1, 2]])",
                                 R"([["a"]])",
                                 R"([1])",
                                 "{",
                                 R"({"u": 0}, "vocab": {"u": 0})"}) {
    ScannedFile scanned;
    EXPECT_FALSE(scan_bulk(with_vocabulary(vocabulary), "t", scanned)) << vocabulary;
  }
}

TEST(BulkScanner, BothReadersGiveTheSameOfDamagedFiles) {
  const std::string good = test::small_tokenizer().dump();
  EXPECT_EQ(read_as(good, true), read_as(good, false));
  std::mt19937 random(3);
  constexpr std::string_view bytes = "\"\\{}[],:0159.-eE \nu\xc3\xa9";
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (auto n = random() % 3; n < 3; ++n) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text.erase(at, random() % 8);
          break;
        case 1:
          text.insert(at, 1, bytes[random() % bytes.size()]);
          break;
        default:
          text[at] = bytes[random() % bytes.size()];
          break;
      }
    }
    ASSERT_EQ(read_as(text, true), read_as(text, false)) << text;
  }
}

TEST(BulkScanner, BothReadersGiveTheSameOfARealFile) {
  const std::string json = test::read_gz(test::data_folder("bert-base-uncased") + "/tokenizer.json.gz");
  EXPECT_EQ(read_as(json, true), read_as(json, false));
}

}  // namespace
}  // namespace mica
