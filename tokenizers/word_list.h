#pragma once
// A table of words, written as one text with a blank between two of them.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace mica {

inline std::vector<std::string> words_of(std::string_view list) {
  std::vector<std::string> words;
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(' ', at), list.size());
    words.emplace_back(list.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace mica
