#pragma once
// What the Moses scripts know of a language: the words behind which a full stop does not end a sentence.

#include <string>
#include <string_view>
#include <unordered_set>

namespace mica::moses {

struct Language {
  std::string code;
  std::unordered_set<std::string> prefixes;          ///< abbreviations that keep their full stop
  std::unordered_set<std::string> numeric_prefixes;  ///< those that keep it before a digit only
};

/// German, English, French and Russian. Throws Error that names `where` for any other code.
const Language& language(std::string_view code, const std::string& where);

}  // namespace mica::moses
