#pragma once
// SentencePiece's map of characters ("precompiled_charsmap"): which sequences of characters become which others.
//
// The bytes are: the size of the trie in bytes (32 bits, little-endian), the trie, and the replacements, each ended by
// a NUL. The trie is a double array as darts-clone builds it: a state's child on byte b is at index ^ offset ^ b.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mica {

class CharsMap {
 public:
  struct Match {
    uint32_t length = 0;           ///< bytes of the text that are replaced; 0: no entry matches
    std::string_view replacement;  ///< valid as long as the map
  };

  CharsMap() = default;
  /// Throws Error naming `file` for bytes that are no map; every replacement is checked to be UTF-8.
  CharsMap(std::string bytes, const std::string& file);

  bool empty() const { return units_.empty(); }
  const std::string& bytes() const { return bytes_; }
  /// The shortest or longest entry that `text` begins with.
  Match shortest(std::string_view text) const { return search(text, false); }
  Match longest(std::string_view text) const { return search(text, true); }

 private:
  Match search(std::string_view text, bool longest) const;

  std::string bytes_;
  std::vector<uint32_t> units_;
  size_t text_begin_ = 0;  // of the replacements, in bytes_
};

/// Standard base64 with padding. Throws Error naming `file`.
std::string decode_base64(std::string_view text, const std::string& file);
std::string encode_base64(std::string_view bytes);

}  // namespace mica
