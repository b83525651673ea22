#include "mica/tokenizers/placed_text.h"

#include <algorithm>
#include <utility>

#include "mica/tokenizers/utf8.h"

namespace mica {

PlacedText placed_text(const NormalizedText& text, ByteRange range) {
  PlacedText placed;
  placed.reserve(range.end - range.begin);
  const char* const begin = text.text().data();
  for (const char* p = begin + range.begin; p < begin + range.end;) {
    const auto first = static_cast<uint32_t>(p - begin);
    const char32_t c = utf8::next(p);
    const CharSpan place = text.original({first, static_cast<uint32_t>(p - begin)});
    placed.push_back({c, static_cast<uint32_t>(place.begin), static_cast<uint32_t>(place.end)});
  }
  return placed;
}

void assign_words(const std::vector<PlacedText>& words, NormalizedText& text, std::vector<ByteRange>& pieces) {
  std::string bytes;
  std::vector<CharSpan> origin;
  pieces.clear();
  for (const PlacedText& word : words) {
    if (!pieces.empty()) {
      bytes += ' ';
      origin.push_back({origin.back().end, origin.back().end});
    }
    const auto begin = static_cast<uint32_t>(bytes.size());
    for (const PlacedCharacter& one : word) {
      utf8::append(one.c, bytes);
      origin.resize(bytes.size(), {static_cast<int32_t>(one.begin), static_cast<int32_t>(one.end)});
    }
    pieces.push_back({begin, static_cast<uint32_t>(bytes.size())});
  }
  text.assign(std::move(bytes), std::move(origin));
}

void assign(const PlacedText& part, NormalizedText& text) {
  std::vector<ByteRange> pieces;
  assign_words({part}, text, pieces);
}

void append(PlacedText& text, std::u32string_view characters, const PlacedCharacter& place) {
  for (const char32_t c : characters) text.push_back({c, place.begin, place.end});
}

PlacedText join_words(const std::vector<PlacedText>& words) {
  PlacedText joined;
  for (const PlacedText& word : words) {
    if (!joined.empty()) append(joined, U" ", joined.back());
    joined.insert(joined.end(), word.begin(), word.end());
  }
  return joined;
}

void replace_all(PlacedText& text, std::u32string_view from, std::u32string_view to) {
  const auto is_here = [&](size_t at) {
    if (text.size() - at < from.size()) return false;
    for (size_t i = 0; i < from.size(); ++i) {
      if (text[at + i].c != from[i]) return false;
    }
    return true;
  };
  size_t at = 0;
  while (at < text.size() && !is_here(at)) ++at;
  if (at == text.size()) return;
  PlacedText replaced(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at));
  while (at < text.size()) {
    if (is_here(at)) {
      append(replaced, to, {0, text[at].begin, text[at + from.size() - 1].end});
      at += from.size();
    } else {
      replaced.push_back(text[at++]);
    }
  }
  text = std::move(replaced);
}

std::vector<PlacedText> split_white(const PlacedText& text) {
  std::vector<PlacedText> words(1);
  for (const PlacedCharacter& one : text) {
    if (!is_python_space(one.c)) {
      words.back().push_back(one);
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

void strip_python_space(PlacedText& text) {
  const auto is_text = [](const PlacedCharacter& one) { return !is_python_space(one.c); };
  text.erase(std::find_if(text.rbegin(), text.rend(), is_text).base(), text.end());
  text.erase(text.begin(), std::find_if(text.begin(), text.end(), is_text));
}

}  // namespace mica
