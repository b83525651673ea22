#pragma once
// What SentencePiece-like normalizers make of each character: a table, for chains that treat nearly every character on
// its own.
//
// Such a chain is: perhaps `` and '' to ", then decomposition with all marks taken off, lower case, cleaning, and last
// the map of characters (Precompiled). Only the map looks at neighbours, namely at short grapheme clusters; characters
// that may belong to one are flagged.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/precompiled.h"

namespace mica {

class CharacterTable {
 public:
  enum Kind : uint8_t {
    kWord,         ///< one character that is none of the following
    kBlank,        ///< U+0020
    kWhite,        ///< other white space
    kMark,         ///< U+2581
    kSeveral,      ///< more than one character
    kDrop,         ///< nothing, by the map: which counts as part of the character before
    kVanish,       ///< nothing, before the map came to it
    kLong,         ///< more than fits here: ask normalize()
    kUnsupported,  ///< treatment depends on the neighbours
  };
  enum Flag : uint8_t {
    kJoins = 1,     ///< may belong to the cluster of the character before
    kAttaches = 2,  ///< the character behind may belong to its cluster
    kFollows = 4,   ///< may belong to a cluster that has at least two characters already
  };
  struct Action {
    Kind kind;
    uint8_t flags;
    uint8_t length;  ///< bytes of what replaces it
    char bytes[13];
  };

  /// Null for a chain that is not of this kind; `normalizer` may be null (nothing changes) and must outlive the table.
  static std::unique_ptr<CharacterTable> make(const Normalizer* normalizer);
  ~CharacterTable();
  CharacterTable(const CharacterTable&) = delete;
  CharacterTable& operator=(const CharacterTable&) = delete;

  const Action& operator[](char32_t c) const {
    const Page* page = pages_[c >> 8].load(std::memory_order_acquire);
    return page != nullptr ? (*page)[c & 0xff] : fill(c);
  }
  /// Only the map changes anything.
  bool maps_only() const { return before_.empty() && !quotes_; }
  /// `` and '' become ".
  bool quotes() const { return quotes_; }
  /// The map of characters, empty where there is none.
  const CharsMap& map() const { return *map_; }
  /// All of it but the quotes.
  void normalize(NormalizedText& text) const;

 private:
  using Page = std::array<Action, 256>;
  CharacterTable() = default;
  bool read(const Normalizer& normalizer);
  const Action& fill(char32_t c) const;
  Action make_action(char32_t c) const;

  std::vector<const Normalizer*> before_;  // what comes before the map
  const Precompiled* precompiled_ = nullptr;
  const CharsMap* map_ = nullptr;
  CharsMap no_map_;
  bool quotes_ = false;
  bool decomposes_ = false, strips_ = false;
  mutable std::array<std::atomic<Page*>, 0x1100> pages_{};
};

}  // namespace mica
