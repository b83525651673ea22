#include "mica/tokenizers/models/vocabulary.h"

#include <bit>
#include <cstring>
#include <limits>

#include "mica/base/error.h"

namespace mica {

uint64_t hash_text(std::string_view text) {
  constexpr uint64_t k = 0x9e3779b97f4a7c15u;
  uint64_t h = text.size() * k;
  const char* p = text.data();
  size_t n = text.size();
  const auto mix = [&](uint64_t block) {
    h = (h ^ block) * k;
    h ^= h >> 32;
  };
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t block = 0;
    std::memcpy(&block, p, 8);
    mix(block);
  }
  uint64_t block = 0;
  std::memcpy(&block, p, n);
  mix(block);
  return h * k ^ h >> 29;
}

void Vocabulary::add(std::string_view token, int64_t id, const std::string& file) {
  if (id < 0 || id > kMaxId) {
    throw Error("id out of range: \"" + printable(token, 60) + "\" has " + std::to_string(id), printable(file, 400),
                "ids are whole numbers from 0 to " + std::to_string(kMaxId));
  }
  if (text_.size() + token.size() > std::numeric_limits<uint32_t>::max()) {
    throw Error("vocabulary is too large", printable(file, 400), "at most 4 GB of text is read");
  }
  entries_.push_back(
      {static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(token.size()), static_cast<int32_t>(id)});
  text_.append(token);
  longest_ = std::max(longest_, token.size());
}

void Vocabulary::finish(const std::string& file, bool duplicates) {
  int64_t highest = -1;
  for (const Entry& entry : entries_) highest = std::max<int64_t>(highest, entry.id);
  if (highest >= 2 * size() + 65536) {
    throw Error("ids are too sparse: " + std::to_string(size()) + " tokens, highest id " + std::to_string(highest),
                printable(file, 400), "number the tokens from 0 on without large holes");
  }
  by_id_.assign(static_cast<size_t>(highest + 1), 0);
  table_.assign(std::bit_ceil(entries_.size() * 2 + 1), 0);
  const size_t mask = table_.size() - 1;
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (uint32_t& slot = by_id_[static_cast<size_t>(entry.id)]; slot == 0) {
      slot = i + 1;
    } else {
      throw Error("two tokens have id " + std::to_string(entry.id) + ": \"" + printable(text(entries_[slot - 1]), 60) +
                      "\" and \"" + printable(text(entry), 60) + "\"",
                  printable(file, 400), "give each token its own id");
    }
    size_t at = hash_text(text(entry)) & mask;
    for (; table_[at] != 0; at = (at + 1) & mask) {
      if (text(entries_[table_[at] - 1]) == text(entry)) {
        if (duplicates) {
          has_duplicates_ = true;
          break;
        }
        throw Error("token occurs twice: \"" + printable(text(entry), 60) + "\"", printable(file, 400),
                    "remove one of the two");
      }
    }
    table_[at] = i + 1;
  }
}

std::optional<int32_t> Vocabulary::find(std::string_view token) const {
  if (table_.empty()) return std::nullopt;
  const size_t mask = table_.size() - 1;
  for (size_t at = hash_text(token) & mask; table_[at] != 0; at = (at + 1) & mask) {
    const Entry& entry = entries_[table_[at] - 1];
    if (text(entry) == token) return entry.id;
  }
  return std::nullopt;
}

bool Vocabulary::contains(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < by_id_.size() && by_id_[static_cast<size_t>(id)] != 0;
}

std::string_view Vocabulary::token(int32_t id) const {
  return contains(id) ? text(entries_[by_id_[static_cast<size_t>(id)] - 1]) : std::string_view();
}

}  // namespace mica
