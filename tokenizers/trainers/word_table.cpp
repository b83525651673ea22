#include "mica/tokenizers/trainers/word_table.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "mica/base/error.h"
#include "mica/tokenizers/models/vocabulary.h"

namespace mica {
namespace {

constexpr size_t kBlockBytes = 1 << 20;

}  // namespace

std::string_view WordTable::keep(std::string_view text) {
  if (text.size() > free_bytes_) {
    free_bytes_ = std::max(kBlockBytes, text.size());
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(free_bytes_));
    free_ = blocks_.back().get();
  }
  char* const own = free_;
  if (!text.empty()) std::memcpy(own, text.data(), text.size());
  free_ += text.size();
  free_bytes_ -= text.size();
  text_bytes_ += text.size();
  return {own, text.size()};
}

void WordTable::grow() {
  slots_.assign(std::max<size_t>(1024, slots_.size() * 2), 0);
  const size_t mask = slots_.size() - 1;
  for (uint32_t i = 0; i < words_.size(); ++i) {
    size_t at = hashes_[i] & mask;
    while (slots_[at] != 0) at = (at + 1) & mask;
    slots_[at] = i + 1;
  }
}

void WordTable::add(std::string_view text, uint64_t count) {
  if (words_.size() * 2 >= slots_.size()) grow();
  const auto hash = static_cast<uint32_t>(hash_text(text));
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (; slots_[at] != 0; at = (at + 1) & mask) {
    const uint32_t i = slots_[at] - 1;
    if (hashes_[i] == hash && words_[i].text == text) {
      words_[i].count += count;
      return;
    }
  }
  if (words_.size() >= std::numeric_limits<uint32_t>::max() / 2) {
    throw Error("the texts have more than two thousand million different words", "training",
                "use a pre-tokenizer that cuts finer, or fewer texts");
  }
  words_.push_back({keep(text), count});
  hashes_.push_back(hash);
  slots_[at] = static_cast<uint32_t>(words_.size());
}

void WordTable::add(const WordTable& other) {
  for (const WordCount& word : other.words_) add(word.text, word.count);
}

void WordTable::clear() {
  *this = WordTable();
}

}  // namespace mica
