#pragma once
// The two-way map between tokens and ids: one block of text, one hash table, one index.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/image.h"
#include "mica/base/table.h"

namespace mica {

class Vocabulary {
 public:
  /// The highest id that is taken; keeps every table small enough to be addressed by 32 bits.
  static constexpr int64_t kMaxId = 100'000'000;

  /// Adds a token; finish() must be called before look-ups. Throws Error naming `file` for an id out of range.
  void add(std::string_view token, int64_t id, const std::string& file);
  /// Makes the tables. Throws Error naming `file` for a token or an id that occurs twice, and for ids so sparse that
  /// the file cannot be meant (more than half of them missing beyond the first few thousand).
  void finish(const std::string& file) { finish(file, false); }
  /// The same, but of equal tokens the last is the one that find() gives; all keep their ids.
  void finish_with_duplicates(const std::string& file) { finish(file, true); }

  /// The tables as an image keeps them, and a finished vocabulary of such.
  void write(ImageWriter& image) const;
  static std::shared_ptr<Vocabulary> read(ImageReader& image);

  std::optional<int32_t> find(std::string_view token) const;
  /// The token, empty when the id has none; see contains().
  std::string_view token(int32_t id) const;
  bool contains(int32_t id) const;
  /// Number of tokens.
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  /// One more than the highest id.
  int64_t id_bound() const { return static_cast<int64_t>(by_id_.size()); }
  size_t longest_token() const { return longest_; }
  bool has_duplicates() const { return has_duplicates_; }

 private:
  void finish(const std::string& file, bool duplicates);
  struct Entry {
    uint32_t begin, length;
    int32_t id;
  };
  std::string_view text(const Entry& entry) const { return {text_.data() + entry.begin, entry.length}; }

  // What was added, until it is finished.
  std::vector<char> added_text_;
  std::vector<Entry> added_;

  Table<char> text_;
  Table<Entry> entries_;
  Table<uint32_t> table_;  // position in entries_ + 1; open addressing, a power of two
  Table<uint32_t> by_id_;  // position in entries_ + 1
  size_t longest_ = 0;
  bool has_duplicates_ = false;
};

/// A hash of short strings, well mixed in all bits.
uint64_t hash_text(std::string_view text);

}  // namespace mica
