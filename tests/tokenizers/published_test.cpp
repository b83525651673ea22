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
