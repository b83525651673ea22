// Tokenizers opened from images give what the files give.

#include "mica/tokenizers/readers/tokenizer_image.h"

#include <cstdlib>
#include <filesystem>
#include <random>

#include <gtest/gtest.h>
#include <unistd.h>

#include "mica/base/file.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

class TokenizerImages : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "mica_tokenizer_image_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/model");
    // White space lifts small files over the size from which images are kept.
    json_ = test::read_gz(test::data_folder(GetParam()) + "/tokenizer.json.gz") + std::string(300'000, ' ');
    write_file_atomically(path(), json_);
    ::setenv("MICA_CACHE_DIR", (folder_ + "/cache").c_str(), 1);
  }
  void TearDown() override {
    ::setenv("MICA_CACHE_DIR", "", 1);
    std::filesystem::remove_all(folder_);
  }
  std::string path() const { return folder_ + "/model/tokenizer.json"; }
  std::string image() const { return *image_path(*ImageSource::of(path()), "tokenizer"); }

  static std::string some_text(std::mt19937& random) {
    std::string text;
    constexpr char32_t starts[] = {'a', 'A', ' ', '0', 0xe0, 0x400, 0x4e00, 0x1f600, '\n', 0x300};
    for (auto n = random() % 40; n > 0; --n) utf8::append(starts[random() % std::size(starts)] + random() % 20, text);
    return text;
  }
  void expect_same(const Tokenizer& a, const Tokenizer& b) const {
    std::mt19937 random(9);
    for (int i = 0; i < 500; ++i) {
      const std::string text = some_text(random);
      const auto x = a(text), y = b(text);
      ASSERT_EQ(x.input_ids, y.input_ids) << text;
      ASSERT_TRUE(std::equal(x.offsets().begin(), x.offsets().end(), y.offsets().begin(), y.offsets().end())) << text;
      ASSERT_EQ(a.decode(x.input_ids[0]), b.decode(y.input_ids[0])) << text;
    }
  }

  std::string folder_, json_;
};

TEST_P(TokenizerImages, GiveTheSameTokenizer) {
  ASSERT_FALSE(TokenizerImage(path()).found());
  const Tokenizer first = Tokenizer::from_pretrained(folder_ + "/model");
  ASSERT_TRUE(file_exists(image()));
  ASSERT_TRUE(TokenizerImage(path()).found());
  const Tokenizer second = Tokenizer::from_pretrained(folder_ + "/model");
  expect_same(first, second);
  EXPECT_EQ(first.to_json(), second.to_json());
  EXPECT_EQ(first.get_vocab(), second.get_vocab());

  TokenizerImage from_image(path());
  const auto engine = from_image.read();
  from_image.prepare(*engine);
  const auto fresh = read_tokenizer_json(json_, "t");
  fresh->prepare();
  EXPECT_EQ(engine->has_fast_path(), fresh->has_fast_path());
}

TEST_P(TokenizerImages, AreNotUsedWhenTheFileHasChangedOrTheImageIsDamaged) {
  const Tokenizer first = Tokenizer::from_pretrained(folder_ + "/model");
  std::string bytes = read_file(image());
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file_atomically(image(), bytes);
  EXPECT_FALSE(TokenizerImage(path()).found());
  expect_same(first, Tokenizer::from_pretrained(folder_ + "/model"));
  EXPECT_TRUE(TokenizerImage(path()).found());  // written again
  write_file_atomically(path(), json_ + " ");
  EXPECT_FALSE(TokenizerImage(path()).found());
}

TEST_P(TokenizerImages, AddedTokensComeOnTop) {
  Tokenizer first = Tokenizer::from_pretrained(folder_ + "/model");
  Tokenizer second = Tokenizer::from_pretrained(folder_ + "/model");
  for (Tokenizer* each : {&first, &second}) each->add_tokens({"abc", "the"});
  expect_same(first, second);
}

TEST_P(TokenizerImages, AreNotKeptWhereTheUserWantsNone) {
  ::setenv("MICA_CACHE_DIR", "", 1);
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder_ + "/model");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/cache"));
}

INSTANTIATE_TEST_SUITE_P(Models, TokenizerImages,
                         ::testing::Values("bert-base-uncased", "t5-small", "qwen2.5", "gpt2"),
                         [](const auto& one) {
                           std::string name = one.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace mica
