// Every expected case of the WordPiece tokenizers: from vocab.txt, from tokenizer.json, and after saving and reloading.

#include <gtest/gtest.h>

#include "mica/tests/tokenizers/expected_cases.h"

namespace mica {
namespace {

using test::check_all;
using test::ScratchFolder;

class Expected : public testing::TestWithParam<const char*> {};

TEST_P(Expected, FromVocabTxt) {
  const ScratchFolder folder;
  test::unpack(GetParam(), folder, {"vocab.txt", "tokenizer_config.json"});
  const Tokenizer tokenizer = AutoTokenizer::from_pretrained(folder.path());
  check_all(tokenizer, GetParam(), "vocab.txt");
}

TEST_P(Expected, AfterSavingAndReloading) {
  const ScratchFolder folder, saved;
  test::unpack(GetParam(), folder, {"vocab.txt", "tokenizer_config.json"});
  AutoTokenizer::from_pretrained(folder.path()).save_pretrained(saved.path());
  std::filesystem::remove(saved.file("vocab.txt"));
  check_all(AutoTokenizer::from_pretrained(saved.path()), GetParam(), "saved tokenizer.json");
}

INSTANTIATE_TEST_SUITE_P(WordPiece, Expected,
                         testing::Values("bert-base-uncased", "bert-base-cased", "bert-base-multilingual-cased",
                                         "bert-base-chinese"),
                         [](const auto& param_info) {
                           std::string name = param_info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(ExpectedFromTokenizerJson, BertBaseUncased) {
  const ScratchFolder folder;
  test::unpack("bert-base-uncased", folder, {"tokenizer.json"});
  check_all(Tokenizer::from_file(folder.file("tokenizer.json")), "bert-base-uncased", "tokenizer.json alone");
  test::unpack("bert-base-uncased", folder, {"tokenizer_config.json"});
  check_all(AutoTokenizer::from_pretrained(folder.path()), "bert-base-uncased", "its folder");
}

}  // namespace
}  // namespace mica
