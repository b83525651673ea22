// One tokenizer in many threads: fused paths and decoding keep tables and caches that fill up as they go.

#include <atomic>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

std::vector<std::string> some_texts() {
  std::mt19937 random(11);
  std::vector<std::string> texts;
  constexpr char32_t starts[] = {'a', 'e', 'A', ' ', ' ', '0', 0xe0, 0x400, 0x4e00, 0xac00, 0x1f600, '\n', 0x300};
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (auto n = random() % 60; n > 0; --n) utf8::append(starts[random() % std::size(starts)] + random() % 24, text);
    texts.push_back(std::move(text));
  }
  return texts;
}

class Threads : public ::testing::TestWithParam<const char*> {};

TEST_P(Threads, ShareATokenizer) {
  const std::string json = test::read_gz(test::data_folder(GetParam()) + "/tokenizer.json.gz");
  const std::vector<std::string> texts = some_texts();
  const Tokenizer alone = Tokenizer::from_json(json), shared = Tokenizer::from_json(json);
  std::vector<std::vector<int32_t>> ids;
  std::vector<std::string> decoded;
  for (const std::string& text : texts) {
    ids.push_back(alone.encode(text));
    decoded.push_back(alone.decode(ids.back()));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < texts.size(); ++i) {
        const size_t at = (i + t * 50) % texts.size();
        const std::vector<int32_t> got = shared.encode(texts[at]);
        if (got != ids[at] || shared.decode(got) != decoded[at]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(shared(texts, {.num_threads = 3}).input_ids.to_vectors(), ids);
}

INSTANTIATE_TEST_SUITE_P(Models, Threads, ::testing::Values("bert-base-uncased", "gpt2", "qwen2.5", "t5-small"),
                         [](const auto& one) {
                           std::string name = one.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace mica
