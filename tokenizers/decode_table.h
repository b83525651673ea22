#pragma once
// Ids to text for decoders that treat each token on its own: every id's text made once, then only copied.
//
// Must read four bytes and write some four bytes a token. Fast because a text of up to 16 bytes is one load and one
// store of 16, whatever its length, and nothing is looked up but one entry.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace mica {

class Engine;

class DecodeTable {
 public:
  /// Null when the engine's decoder needs more than one token at a time.
  static std::shared_ptr<const DecodeTable> make(const Engine& engine);

  /// The text; ids that are none are left out, and special tokens where asked for.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

 private:
  struct Entry {
    uint32_t begin = 0;   // in texts_
    uint32_t length = 0;  // bytes
    bool known = false, special = false;
    uint32_t first_begin = 0, first_length = 0;  // of its text as the first token
  };
  const Entry* wanted(int32_t id, bool skip_special) const {
    if (static_cast<uint32_t>(id) >= entries_.size()) return nullptr;
    const Entry& entry = entries_[static_cast<size_t>(id)];
    return entry.known && !(skip_special && entry.special) ? &entry : nullptr;
  }

  std::vector<Entry> entries_;
  std::string texts_;   // 16 bytes longer than what is used
  bool bytes_ = false;  // the texts may be parts of characters: what is no UTF-8 in the end is replaced
};

}  // namespace mica
