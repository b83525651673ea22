#pragma once
// Text as the metrics' own tools see it: characters, words between white space, lower case.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mica::metrics {

using Characters = std::u32string;
using Word = std::u32string;

/// The characters of the text; what is no UTF-8 becomes U+FFFD.
Characters characters(std::string_view text);
std::string to_utf8(const Characters& text);

/// Unicode's white space and the four separators U+001C to U+001F, as Python's str.split knows them.
bool is_space(char32_t c);
enum class CharacterKind : uint8_t { letter, number, punctuation, symbol, other };
/// By Unicode's general category.
CharacterKind kind(char32_t c);
bool is_ascii_punctuation(char32_t c);

Characters lower(const Characters& text);
/// Without white space at its ends.
Characters strip(const Characters& text);
/// The parts between runs of white space.
std::vector<Word> words(const Characters& text);

/// How often each element of a list occurs.
template <typename Key>
using Counts = std::unordered_map<Key, int64_t>;

/// Throws Error, naming the metric, unless there are as many predictions as references, and at least one.
void check_pairs(const char* metric, size_t predictions, size_t references);

}  // namespace mica::metrics
