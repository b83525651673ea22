#pragma once
// Counts of byte strings, kept in memory of their own: the one big table of training.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace mica {

struct WordCount {
  std::string_view text;
  uint64_t count = 0;
};

class WordTable {
 public:
  void add(std::string_view text, uint64_t count);
  void add(const WordTable& other);
  void clear();

  const std::vector<WordCount>& words() const { return words_; }
  size_t size() const { return words_.size(); }
  /// Bytes of the texts, about.
  size_t text_bytes() const { return text_bytes_; }

 private:
  std::string_view keep(std::string_view text);
  void grow();

  std::vector<WordCount> words_;  // texts point into blocks_, which never move
  std::vector<uint32_t> hashes_;
  std::vector<uint32_t> slots_;  // position in words_ + 1; open addressing, a power of two
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* free_ = nullptr;
  size_t free_bytes_ = 0;
  size_t text_bytes_ = 0;
};

}  // namespace mica
