#include "mica/tokenizers/utf8.h"

#include <cstring>

namespace mica::utf8 {
namespace {

// Length of the well-formed character at the start of `text` (Unicode, table 3-7), or 0; `*bad` is then the length of
// the maximal part that could have started one.
int well_formed(std::string_view text, int* bad) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  *bad = 1;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const int need = length(lead);
  const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (int i = 1; i < need; ++i) {
    if (static_cast<size_t>(i) >= text.size()) return 0;
    const unsigned char b = byte(static_cast<size_t>(i));
    if (i == 1 ? (b < low || b > high) : (b < 0x80 || b > 0xbf)) return 0;
    *bad = i + 1;
  }
  return need;
}

// Whether three bytes are a character whose lead sets no limit of its own to the second.
bool is_plain_three(const char* p) {
  const auto byte = [p](int i) { return static_cast<unsigned char>(p[i]); };
  const unsigned low = byte(0) & 15u;
  return (byte(0) & 0xf0) == 0xe0 && low != 0 && low != 13 && (byte(1) & 0xc0) == 0x80 && (byte(2) & 0xc0) == 0x80;
}

// Length of the longest well-formed prefix.
size_t valid_prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint64_t block = 0;
    while (i + 8 <= text.size()) {
      std::memcpy(&block, text.data() + i, 8);
      if ((block & 0x8080808080808080u) != 0) break;
      i += 8;
    }
    while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
    while (i + 3 <= text.size() && is_plain_three(text.data() + i)) i += 3;
    while (i < text.size() && static_cast<unsigned char>(text[i]) >= 0x80) {
      int bad = 0;
      const int n = well_formed(text.substr(i, 4), &bad);
      if (n == 0) return i;
      i += static_cast<size_t>(n);
    }
  }
  return i;
}

}  // namespace

void append(char32_t c, std::string& out) {
  char bytes[4];
  out.append(bytes, static_cast<size_t>(encode(c, bytes)));
}

size_t count(std::string_view text) {
  size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return n;
}

bool is_valid(std::string_view text) {
  return valid_prefix(text) == text.size();
}

std::string_view valid(std::string_view text, std::string& storage) {
  size_t good = valid_prefix(text);
  if (good == text.size()) return text;
  storage.clear();
  while (!text.empty()) {
    storage.append(text.substr(0, good));
    text.remove_prefix(good);
    if (text.empty()) break;
    int bad = 0;
    well_formed(text.substr(0, 4), &bad);
    append(0xfffd, storage);
    text.remove_prefix(static_cast<size_t>(bad));
    good = valid_prefix(text);
  }
  return storage;
}

}  // namespace mica::utf8
