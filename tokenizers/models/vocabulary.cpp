#include "mica/tokenizers/models/vocabulary.h"

#include <bit>
#include <cstring>
#include <limits>
#include <utility>

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
  if (n > 0) std::memcpy(&block, p, n);  // an empty text may have no place
  mix(block);
  return h * k ^ h >> 29;
}

void Vocabulary::add(std::string_view token, int64_t id, const std::string& file) {
  if (id < 0 || id > kMaxId) {
    throw Error("id out of range: \"" + printable(token, 60) + "\" has " + std::to_string(id), printable(file, 400),
                "ids are whole numbers from 0 to " + std::to_string(kMaxId));
  }
  if (added_text_.size() + token.size() > std::numeric_limits<uint32_t>::max()) {
    throw Error("vocabulary is too large", printable(file, 400), "at most 4 GB of text is read");
  }
  added_.push_back(
      {static_cast<uint32_t>(added_text_.size()), static_cast<uint32_t>(token.size()), static_cast<int32_t>(id)});
  added_text_.insert(added_text_.end(), token.begin(), token.end());
  longest_ = std::max(longest_, token.size());
}

void Vocabulary::finish(const std::string& file, bool duplicates) {
  text_ = Table<char>(std::move(added_text_));
  entries_ = Table<Entry>(std::move(added_));
  int64_t highest = -1;
  for (const Entry& entry : entries_) highest = std::max<int64_t>(highest, entry.id);
  if (highest >= 2 * size() + 65536) {
    throw Error("ids are too sparse: " + std::to_string(size()) + " tokens, highest id " + std::to_string(highest),
                printable(file, 400), "number the tokens from 0 on without large holes");
  }
  std::vector<uint32_t> by_id(static_cast<size_t>(highest + 1), 0);
  std::vector<uint32_t> table(std::bit_ceil(entries_.size() * 2 + 1), 0);
  const size_t mask = table.size() - 1;
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (uint32_t& slot = by_id[static_cast<size_t>(entry.id)]; slot == 0) {
      slot = i + 1;
    } else {
      throw Error("two tokens have id " + std::to_string(entry.id) + ": \"" + printable(text(entries_[slot - 1]), 60) +
                      "\" and \"" + printable(text(entry), 60) + "\"",
                  printable(file, 400), "give each token its own id");
    }
    size_t at = hash_text(text(entry)) & mask;
    for (; table[at] != 0; at = (at + 1) & mask) {
      if (text(entries_[table[at] - 1]) == text(entry)) {
        if (duplicates) {
          has_duplicates_ = true;
          break;
        }
        throw Error("token occurs twice: \"" + printable(text(entry), 60) + "\"", printable(file, 400),
                    "remove one of the two");
      }
    }
    table[at] = i + 1;
  }
  by_id_ = Table<uint32_t>(std::move(by_id));
  table_ = Table<uint32_t>(std::move(table));
}

void Vocabulary::write(ImageWriter& image) const {
  image.add(text_);
  image.add(entries_);
  image.add(table_);
  image.add(by_id_);
  image.add_value(uint64_t{longest_});
  image.add_value(uint64_t{has_duplicates_ ? 1U : 0U});
}

std::shared_ptr<Vocabulary> Vocabulary::read(ImageReader& image) {
  auto vocabulary = std::make_shared<Vocabulary>();
  vocabulary->text_ = image.take<char>();
  vocabulary->entries_ = image.take<Entry>();
  vocabulary->table_ = image.take<uint32_t>();
  vocabulary->by_id_ = image.take<uint32_t>();
  vocabulary->longest_ = image.take_value<uint64_t>();
  vocabulary->has_duplicates_ = image.take_value<uint64_t>() != 0;
  return vocabulary;
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
