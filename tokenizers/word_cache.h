#pragma once
// Words and the tokens that a model cut them into, kept from text to text: most words of a text have come before.
//
// A cache belongs to one thread at a time, so that looking up takes no lock; a pool lends them out. It never grows: a
// word takes the place of others with the same hash.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace mica {

/// Words that are longer, or have more tokens than a WordCache keeps, as their tokens' ids and last bytes.
class LongWordCache {
 public:
  static constexpr size_t kBytes = 70, kTokens = 22;
  struct alignas(64) Entry {
    uint8_t size = 0, count = 0;  // bytes (0: free), tokens
    char text[kBytes] = {};
    std::array<uint8_t, kTokens> ends = {};  ///< of each token, in bytes; it begins where the one before ends
    std::array<int32_t, kTokens> ids = {};
    bool holds(std::string_view word) const {
      return size == word.size() && std::memcmp(text, word.data(), word.size()) == 0;
    }
  };

  /// Where a word of 1 to kBytes bytes is, or may be put.
  Entry& at(std::string_view word) {
    if (entries_.empty()) entries_.resize(size_t{1} << kBits);
    uint64_t h = word.size();
    for (size_t i = 0; i < word.size(); i += 8) {
      uint64_t block = 0;
      std::memcpy(&block, word.data() + i, std::min<size_t>(8, word.size() - i));
      h = (h ^ block) * 0x9e3779b97f4a7c15u;
      h ^= h >> 32;
    }
    return entries_[h * 0xff51afd7ed558ccdu >> (64 - kBits)];
  }

 private:
  static constexpr int kBits = 12;  // 768 KB, where a text has such words
  std::vector<Entry> entries_;
};

class WordCache {
 public:
  static constexpr size_t kWordBytes = 32;  ///< longest word that is kept
  static constexpr size_t kTokens = 6;      ///< most tokens of one that is kept

  /// A word's bytes in registers (the first is the lowest), zeros behind its end.
  using Key = std::array<uint64_t, kWordBytes / 8>;
  struct alignas(64) Entry {
    Key key;
    std::array<int32_t, kTokens> ids;
    std::array<uint8_t, kTokens> ends;  ///< where each token ends, in whatever unit the owner counts
    uint8_t size = 0;                   ///< of the word, with the owner's mark; 0: the entry is free
    uint8_t count = 0;                  ///< tokens
  };

  WordCache() : entries_(static_cast<Entry*>(std::calloc(kEntries + 1, sizeof(Entry)))) {
    if (!entries_) throw std::bad_alloc();
    const auto address = reinterpret_cast<uintptr_t>(entries_.get());
    first_ = reinterpret_cast<Entry*>((address + 63) & ~uintptr_t{63});
  }

  /// Where the word is, or may be put. `size` is not 0. Each hash has two places: a new word takes the first, and what
  /// was there the second.
  Entry& at(const Key& key, uint8_t size) {
    constexpr uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = ((key[0] ^ size) * k ^ key[1]) * 0xff51afd7ed558ccdu;
    if (size > 16) h ^= (key[2] * k ^ key[3]) * 0xc4ceb9fe1a85ec53u;
    Entry* const pair = &first_[((h ^ h >> 29) * k >> (64 - kBits)) & ~uint64_t{1}];
    if (holds(pair[0], key, size)) return pair[0];
    if (holds(pair[1], key, size)) return pair[1];
    pair[1] = pair[0];
    pair[0].size = 0;
    return pair[0];
  }
  LongWordCache& long_words() { return long_words_; }
  static bool holds(const Entry& entry, const Key& key, uint8_t size) {
    return entry.size == size &&
           ((entry.key[0] ^ key[0]) | (entry.key[1] ^ key[1]) | (entry.key[2] ^ key[2]) | (entry.key[3] ^ key[3])) == 0;
  }

 private:
  static constexpr int kBits = 15;  // two megabytes
  static constexpr size_t kEntries = size_t{1} << kBits;
  struct Free {
    void operator()(Entry* entries) const { std::free(entries); }
  };
  LongWordCache long_words_;
  std::unique_ptr<Entry[], Free> entries_;  // zeroed by the system page by page, as they are touched
  Entry* first_ = nullptr;
};

/// Lends caches out, as many as are in use at the same time.
class WordCachePool {
 public:
  std::unique_ptr<WordCache> borrow() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<WordCache>();
    std::unique_ptr<WordCache> cache = std::move(idle_.back());
    idle_.pop_back();
    return cache;
  }
  void give_back(std::unique_ptr<WordCache> cache) {
    const std::lock_guard lock(mutex_);
    if (cache && idle_.size() < kMaxIdle) idle_.push_back(std::move(cache));
  }

 private:
  static constexpr size_t kMaxIdle = 64;
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
};

}  // namespace mica
