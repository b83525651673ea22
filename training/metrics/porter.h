#pragma once
// Porter's stemmer (M. F. Porter, "An algorithm for suffix stripping", 1980) with the changes that NLTK makes to it,
// which is how ROUGE stems.

#include <string>
#include <string_view>

namespace mica {

/// The stem of an English word in lower case ASCII; words of one or two letters stay.
std::string porter_stem(std::string_view word);

}  // namespace mica
