#pragma once
// The tokens of one text while it is being encoded.

#include <cstdint>
#include <string>
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
  /// Drops the tokens after the first n, which must not be odd ones.
  void truncate(size_t n) {
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
