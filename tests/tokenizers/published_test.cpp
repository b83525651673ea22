// Every expected case of published tokenizers that are too large for the repository. MICA_TOKENIZERS_DIR names a folder
// that holds theirs (NAME/tokenizer.json, NAME/tokenizer_config.json) and expected/NAME.jsonl.gz; without it these are
// skipped.

#include <cstdlib>

#include <gtest/gtest.h>

#include "mica/tests/tokenizers/expected_cases.h"

namespace mica {
namespace {

class Published : public testing::TestWithParam<const char*> {};

TEST_P(Published, ExpectedCases) {
  const std::string name = GetParam();
  const char* root = std::getenv("MICA_TOKENIZERS_DIR");
  const std::string folder = root == nullptr ? "" : std::string(root) + "/" + name;
  const std::string cases = root == nullptr ? "" : std::string(root) + "/expected/" + name + ".jsonl.gz";
  if (root == nullptr || !std::filesystem::exists(folder) || !std::filesystem::exists(cases)) {
    GTEST_SKIP() << "set MICA_TOKENIZERS_DIR to a folder that holds " << name << " and expected";
  }
  test::check_all(AutoTokenizer::from_pretrained(folder), test::lines_of_file(cases), name, "its folder");
}

// Marian's cases are in a form of their own.
TEST(PublishedMarian, Cases) {
  const char* root = std::getenv("MICA_TOKENIZERS_DIR");
  const std::string folder = root == nullptr ? "" : std::string(root) + "/opus-mt-en-mg";
  if (root == nullptr || !std::filesystem::exists(folder)) {
    GTEST_SKIP() << "set MICA_TOKENIZERS_DIR to a folder that holds opus-mt-en-mg and expected";
  }
  const Tokenizer tokenizer = AutoTokenizer::from_pretrained(folder);
  int cases = 0;
  for (const Json& c : test::lines_of_file(std::string(root) + "/expected/opus-mt-en-mg.jsonl.gz")) {
    const std::string text = c["text"].get<std::string>();
    const auto ids = c["ids"].get<std::vector<int32_t>>(), target = c["target_ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(tokenizer(text).tokens(), c["tokens"].get<std::vector<std::string>>()) << text;
    EXPECT_EQ(tokenizer.encode(text, {.text_target = true}), target) << text;
    EXPECT_EQ(tokenizer.decode(target, {.skip_special_tokens = true}),
              c["decoded_target_skip_special_tokens"].get<std::string>())
        << text;
    ++cases;
  }
  std::printf("opus-mt-en-mg: %d cases\n", cases);
}

INSTANTIATE_TEST_SUITE_P(Folders, Published,
                         testing::Values("gpt2", "roberta-base", "phi-2", "whisper-large-v3", "clip-vit-base-patch32",
                                         "falcon-7b", "qwen2.5", "deepseek-v3", "t5-small", "xlm-roberta-base",
                                         "albert-base-v2", "xlnet-base-cased", "mistral-7b-v0.1", "mistral-7b-v0.3",
                                         "phi-3-mini"),
                         [](const auto& param_info) {
                           std::string name = param_info.param;
                           for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace mica
