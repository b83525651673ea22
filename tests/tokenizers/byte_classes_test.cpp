// Tokenizers without a vocabulary, against what transformers 5.24 gives.

#include <gtest/gtest.h>

#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

using Ids = std::vector<int32_t>;

Tokenizer open(const std::string& name) {
  const test::ScratchFolder folder;
  folder.write("tokenizer_config.json", "{\"tokenizer_class\": \"" + name + "\"}");
  return AutoTokenizer::from_pretrained(folder.path());
}

Ids ids(const BatchEncoding& encoding) {
  return {encoding.input_ids[0].begin(), encoding.input_ids[0].end()};
}

TEST(ByteClasses, ByT5) {
  const auto tokenizer = open("ByT5Tokenizer");
  EXPECT_EQ(ids(tokenizer("aé")), (Ids{100, 198, 172, 1}));
  EXPECT_EQ(ids(tokenizer("a", "b")), (Ids{100, 1, 101, 1}));
  EXPECT_EQ(ids(tokenizer("a <extra_id_0> </s> b")), (Ids{100, 35, 259, 1, 101, 1}));
  EXPECT_EQ(tokenizer.size(), 384);
  EXPECT_EQ(tokenizer.decode({100, 198, 172, 198, 259, 1}), "aé<extra_id_0></s>");  // half a character is left out
  EXPECT_EQ(tokenizer.decode({100, 198, 172, 1}, {.skip_special_tokens = true}), "aé");
  EXPECT_EQ(tokenizer("aé").offsets()[2], (CharSpan{1, 2}));
}

TEST(ByteClasses, Perceiver) {
  const auto tokenizer = open("PerceiverTokenizer");
  EXPECT_EQ(ids(tokenizer("aé")), (Ids{4, 103, 201, 175, 5}));
  EXPECT_EQ(ids(tokenizer("a", "[MASK]")), (Ids{4, 103, 5, 3, 5}));
  EXPECT_EQ(tokenizer.decode({103, 201, 175, 201}), "aé\ufffd");
}

TEST(ByteClasses, Canine) {
  const auto tokenizer = open("CanineTokenizer");
  const auto pair = tokenizer("a😀", "中");
  EXPECT_EQ(ids(pair), (Ids{0xe000, 'a', 0x1f600, 0xe001, 0x4e2d, 0xe001}));
  EXPECT_EQ(Ids(pair.token_type_ids[0].begin(), pair.token_type_ids[0].end()), Ids(6, 0));
  EXPECT_EQ(tokenizer.decode({0xe000, 'a', 0x1f600, 0xe001}, {.skip_special_tokens = true}), "a😀");
  EXPECT_EQ(tokenizer.pad_token_id(), 0);
  EXPECT_EQ(ids(tokenizer({"ab", ""}, {.padding = true})).size(), 4u);
}

}  // namespace
}  // namespace mica
