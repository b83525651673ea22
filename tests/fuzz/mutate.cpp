#include "mica/tests/fuzz/mutate.h"

#include <algorithm>
#include <cctype>
#include <iterator>

namespace mica::fuzz {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 16;

const char* const kNumbers[] = {"0",
                                "1",
                                "2",
                                "-1",
                                "-0",
                                "7",
                                "8",
                                "9",
                                "255",
                                "65536",
                                "2147483647",
                                "2147483648",
                                "4294967295",
                                "4294967296",
                                "4611686018427387904",
                                "9223372036854775807",
                                "9223372036854775808",
                                "-9223372036854775809",
                                "18446744073709551615",
                                "18446744073709551616",
                                "1.5",
                                "1e308",
                                "1e309",
                                "NaN",
                                "-Infinity"};
const char* const kWords[] = {"{",     "}",       "[",       "]",        ",",    ":",
                              "\"",    "\"\"",    "{}",      "[]",       "\\",   "null",
                              "false", "\\u0000", "\\ud800", "\xc3\xa9", "\xff", "[[[[[[[[[[[[[[[["};

// Uniform enough, and unlike std::uniform_int_distribution the same everywhere.
size_t below(size_t n, Random& random) {
  return n == 0 ? 0 : static_cast<size_t>(random() % n);
}

void replace_number(std::string& text, Random& random) {
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_digit(text[i]) && (i == 0 || !is_digit(text[i - 1]))) starts.push_back(i);
  }
  if (starts.empty()) return;
  const size_t begin = starts[below(starts.size(), random)];
  size_t end = begin;
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end - begin < 18 && below(2, random) == 0) {  // a neighbour
    const int64_t value = std::stoll(text.substr(begin, end - begin)) + static_cast<int64_t>(below(3, random)) - 1;
    text.replace(begin, end - begin, std::to_string(value));
  } else {
    text.replace(begin, end - begin, kNumbers[below(std::size(kNumbers), random)]);
  }
}

void change_once(std::string& text, const std::vector<std::string>& corpus, Random& random) {
  const size_t at = below(text.size(), random);
  const size_t length = 1 + below(std::min<size_t>(text.size() - at, 64), random);
  switch (below(9, random)) {
    case 0:
      text.resize(at);
      break;
    case 1:
      if (!text.empty()) text[at] = static_cast<char>(random());
      break;
    case 2:
      if (!text.empty()) text[at] = static_cast<char>(text[at] ^ (1 << below(8, random)));
      break;
    case 3:
      text.erase(at, length);
      break;
    case 4:
      text.insert(at, text.substr(at, length));
      break;
    case 5:
      text.insert(at, kWords[below(std::size(kWords), random)]);
      break;
    case 6: {
      const std::string& other = corpus[below(corpus.size(), random)];
      text = text.substr(0, at) + other.substr(below(other.size(), random));
      break;
    }
    default:
      replace_number(text, random);
      break;
  }
}

}  // namespace

std::string mutate(const std::string& input, const std::vector<std::string>& corpus, Random& random) {
  std::string text = input;
  const size_t changes = 1 + below(4, random);
  for (size_t i = 0; i < changes; ++i) change_once(text, corpus, random);
  if (text.size() > kMaxBytes) text.resize(kMaxBytes);
  return text;
}

}  // namespace mica::fuzz
