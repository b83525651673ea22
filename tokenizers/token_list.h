#pragma once
// The tokens of one text while it is being encoded.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/batch_encoding.h"

namespace mica {

struct TokenList {
  BlockVector<int32_t> ids;
  BlockVector<CharSpan> offsets;
  BlockVector<int32_t> words;
  std::vector<std::pair<int32_t, std::string>> odd;  ///< tokens whose text is not the vocabulary's, by position

  size_t size() const { return ids.size(); }
  void clear() {
    ids.clear();
    offsets.clear();
    words.clear();
    odd.clear();
  }
  /// Keeps the text of the token that is pushed next, where it is not the vocabulary's.
  void note_text(std::string_view text, std::string_view usual) {
    if (text != usual) odd.emplace_back(static_cast<int32_t>(size()), std::string(text));
  }
  /// Drops the tokens after the first n.
  void truncate(size_t n) {
    while (!odd.empty() && odd.back().first >= static_cast<int32_t>(n)) odd.pop_back();
    ids.resize(n);
    offsets.resize(n);
    words.resize(n);
  }
  void push(int32_t id, CharSpan offset, int32_t word) {
    ids.push_back(id);
    offsets.push_back(offset);
    words.push_back(word);
  }
};

}  // namespace mica
