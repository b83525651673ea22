// The bytes of tokens, for each way in which vocabularies spell them.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica::test {
namespace {

std::string joined(const std::vector<std::string>& bytes, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += bytes.at(static_cast<size_t>(id));
  return text;
}

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all{"Hello world", "naïve café, 日本語 😀!", "{\"a\": [1, 2.5]}\n\tx  y",
                                            "<0x41> is no byte"};
  return all;
}

TEST(TokenBytes, OfByteLevelTokensAreTheText) {
  for (const char* name : {"gpt2", "qwen2.5", "deepseek-v3"}) {
    const auto tokenizer = Tokenizer::from_json(read_gz(data_folder(name) + "/tokenizer.json.gz"));
    const auto bytes = tokenizer.token_bytes();
    for (const std::string& text : texts()) {
      EXPECT_EQ(joined(bytes, tokenizer.encode(text, {.add_special_tokens = false})), text) << name;
    }
    for (const int32_t id : tokenizer.all_special_ids()) EXPECT_EQ(bytes.at(static_cast<size_t>(id)), "") << name;
  }
}

TEST(TokenBytes, OfSentencePieceTokensAreTheTextAfterASpace) {
  ScratchFolder folder;
  folder.write("tokenizer.model", read_gz(data_folder("sentencepiece") + "/byte_fallback_2000.model.gz"));
  const auto tokenizer = Tokenizer::from_pretrained(folder.file("tokenizer.model"));
  const auto bytes = tokenizer.token_bytes();
  for (const std::string text : {"Hello world", "naïve café, 日本語 😀!"}) {
    EXPECT_EQ(joined(bytes, tokenizer.encode(text, {.add_special_tokens = false})), " " + text);
  }
  EXPECT_EQ(bytes.at(static_cast<size_t>(tokenizer.token_to_id("<0xE6>").value())), "\xe6");
  EXPECT_EQ(bytes.at(static_cast<size_t>(tokenizer.token_to_id("<0x0A>").value())), "\n");
}

TEST(TokenBytes, OfWordPiecesBeginWithTheSpaceBetweenWords) {
  const auto tokenizer = Tokenizer::from_json(small_tokenizer().dump());
  const auto bytes = tokenizer.token_bytes();
  EXPECT_EQ(bytes.size(), 15u);
  EXPECT_EQ(bytes[0], "");  // [PAD]
  EXPECT_EQ(bytes[7], " wor");
  EXPECT_EQ(bytes[8], "ld");
}

}  // namespace
}  // namespace mica::test
