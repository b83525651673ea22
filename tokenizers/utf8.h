#pragma once
// UTF-8, read and written one code point at a time.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mica::utf8 {

/// Bytes of the character that starts with this byte of valid UTF-8.
inline int length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/// The code point at `p`, which must point at the start of a character of valid UTF-8; moves `p` behind it.
inline char32_t next(const char*& p) {
  const auto* b = reinterpret_cast<const unsigned char*>(p);
  if (b[0] < 0x80) {
    p += 1;
    return b[0];
  }
  if (b[0] < 0xe0) {
    p += 2;
    return static_cast<char32_t>((b[0] & 0x1f) << 6 | (b[1] & 0x3f));
  }
  if (b[0] < 0xf0) {
    p += 3;
    return static_cast<char32_t>((b[0] & 0x0f) << 12 | (b[1] & 0x3f) << 6 | (b[2] & 0x3f));
  }
  p += 4;
  return static_cast<char32_t>((b[0] & 0x07) << 18 | (b[1] & 0x3f) << 12 | (b[2] & 0x3f) << 6 | (b[3] & 0x3f));
}

/// Where the last character of valid UTF-8 before `end` starts.
inline size_t last_start(std::string_view text, size_t end) {
  do {
    --end;
  } while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80);
  return end;
}

/// Writes a code point (no surrogate, at most U+10FFFF) and returns its length in bytes.
inline int encode(char32_t c, char* out) {
  if (c < 0x80) {
    out[0] = static_cast<char>(c);
    return 1;
  }
  if (c < 0x800) {
    out[0] = static_cast<char>(0xc0 | c >> 6);
    out[1] = static_cast<char>(0x80 | (c & 0x3f));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = static_cast<char>(0xe0 | c >> 12);
    out[1] = static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out[2] = static_cast<char>(0x80 | (c & 0x3f));
    return 3;
  }
  out[0] = static_cast<char>(0xf0 | c >> 18);
  out[1] = static_cast<char>(0x80 | (c >> 12 & 0x3f));
  out[2] = static_cast<char>(0x80 | (c >> 6 & 0x3f));
  out[3] = static_cast<char>(0x80 | (c & 0x3f));
  return 4;
}

void append(char32_t c, std::string& out);

/// Number of code points of valid UTF-8.
size_t count(std::string_view text);

bool is_valid(std::string_view text);

/// The text itself when it is valid; otherwise a copy in `storage` where every maximal ill-formed part is U+FFFD, as
/// lossy decoders (Rust's, Python's) do it.
std::string_view valid(std::string_view text, std::string& storage);

}  // namespace mica::utf8
