// Marian: two SentencePiece models over one vocabulary.

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

using Words = std::vector<std::string>;

class Marian : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.write("source.spm", test::read_gz(test::data_folder("sentencepiece") + "/char.model.gz"));
    folder_.write("target.spm", test::read_gz(test::data_folder("sentencepiece") + "/bpe_1000.model.gz"));
    folder_.write("tokenizer_config.json", R"({"tokenizer_class": "MarianTokenizer"})");
    write_vocabulary({"</s>", "<unk>", "\u2581", "h", "e", "l", "o", "\u2581He", "ll", ">>de<<", "<pad>"});
  }
  void write_vocabulary(const Words& tokens) const {
    Json json = Json::object();
    for (const std::string& token : tokens) json[token] = json.size();
    folder_.write("vocab.json", json.dump());
  }
  Tokenizer open() const { return Tokenizer::from_pretrained(folder_.path()); }

  test::ScratchFolder folder_;
};

TEST_F(Marian, CutsSourcesAndTargetsByTheirOwnModels) {
  const Tokenizer tokenizer = open();
  EXPECT_EQ(tokenizer("hello").tokens(), (Words{"\u2581", "h", "e", "l", "l", "o", "</s>"}));
  EXPECT_EQ(tokenizer.encode("hello"), (std::vector<int32_t>{2, 3, 4, 5, 5, 6, 0}));
  EXPECT_EQ(tokenizer("Hello", {.text_target = true}).tokens(), (Words{"\u2581He", "ll", "o", "</s>"}));
  // Pieces that the vocabulary lacks, and a pair with its one end.
  EXPECT_EQ(tokenizer("hz").tokens(), (Words{"\u2581", "h", "<unk>", "</s>"}));
  EXPECT_EQ(tokenizer("h", "o").tokens(), (Words{"\u2581", "h", "\u2581", "o", "</s>"}));
}

TEST_F(Marian, TakesLanguageCodesAsTokensAndDecodes) {
  const Tokenizer tokenizer = open();
  EXPECT_EQ(tokenizer(">>de<< he").tokens()[0], ">>de<<");
  EXPECT_EQ(tokenizer.decode({7, 8, 6, 0}, {.skip_special_tokens = true}), "Hello");
  EXPECT_EQ(tokenizer.decode({2, 3, 0, 2, 6}), "h</s> o");
}

TEST_F(Marian, AddsTokensOnBothSides) {
  Tokenizer tokenizer = open();
  EXPECT_EQ(tokenizer.add_tokens({"ell"}, true), 1);
  EXPECT_EQ(tokenizer("hello").tokens()[2], "ell");
  EXPECT_EQ(tokenizer("hello", {.text_target = true}).tokens()[1], "ell");
}

TEST_F(Marian, SaysWhatIsMissing) {
  write_vocabulary({"</s>", "h"});
  EXPECT_THROW(open(), Error);
  folder_.write("tokenizer_config.json", R"({"tokenizer_class": "MarianTokenizer", "separate_vocabs": true})");
  EXPECT_THROW(open(), Error);
}

}  // namespace
}  // namespace mica
