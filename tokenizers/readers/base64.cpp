#include "mica/tokenizers/readers/base64.h"

#include <cstdint>

namespace mica {
namespace {

int digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t block = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool pads = i + padding >= text.size();
    const int value = pads ? 0 : digit(text[i]);
    if (value < 0) return std::nullopt;
    block = block << 6 | static_cast<uint32_t>(value);
    if (i % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) bytes += static_cast<char>(block >> shift & 0xff);
    block = 0;
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace mica
