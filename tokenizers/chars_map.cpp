#include "mica/tokenizers/chars_map.h"

#include <array>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// Fields of a unit of the double array.
constexpr uint32_t kValueBit = uint32_t{1} << 31;
bool has_value(uint32_t unit) {
  return (unit >> 8 & 1) != 0;
}
uint32_t offset(uint32_t unit) {
  return unit >> 10 << (unit >> 6 & 8);
}
uint32_t label(uint32_t unit) {
  return unit & (kValueBit | 0xff);
}

[[noreturn]] void broken(const std::string& problem, const std::string& file) {
  throw Error("the character map " + problem, printable(file, 400), "fetch the file again");
}

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

CharsMap::CharsMap(std::string bytes, const std::string& file) : bytes_(std::move(bytes)) {
  const auto word = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) {
      value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes_[at + i])) << (8 * i);
    }
    return value;
  };
  if (bytes_.size() < 4) broken("is cut: " + std::to_string(bytes_.size()) + " bytes", file);
  const size_t trie_bytes = word(0);
  if (trie_bytes > bytes_.size() - 4 || trie_bytes % 4 != 0 || trie_bytes == 0) {
    broken("is cut: " + std::to_string(trie_bytes) + " bytes of trie in " + std::to_string(bytes_.size()), file);
  }
  text_begin_ = 4 + trie_bytes;
  const std::string_view text = std::string_view(bytes_).substr(text_begin_);
  if (!utf8::is_valid(text)) broken("has replacements that are not UTF-8", file);
  units_.reserve(trie_bytes / 4);
  for (size_t at = 4; at < text_begin_; at += 4) units_.push_back(word(at));
  for (size_t i = 0; i < units_.size(); ++i) {
    const uint32_t unit = units_[i];
    if ((unit & kValueBit) != 0 || !has_value(unit)) continue;
    const size_t leaf = i ^ offset(unit);
    const size_t begin = leaf < units_.size() ? units_[leaf] & ~kValueBit : bytes_.size();
    const bool inside =
        begin <= text.size() && (begin == text.size() || (static_cast<unsigned char>(text[begin]) & 0xc0) != 0x80);
    if (!inside) broken("points outside its replacements", file);
  }
}

CharsMap::Match CharsMap::search(std::string_view text, bool longest) const {
  Match best;
  if (units_.empty()) return best;
  size_t at = offset(units_[0]);
  uint32_t value = 0;
  for (uint32_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || label(units_[at]) != byte) break;
    const uint32_t unit = units_[at];
    at ^= offset(unit);
    if (!has_value(unit)) continue;
    best.length = i + 1;
    value = units_[at] & ~kValueBit;
    if (!longest) break;
  }
  if (best.length > 0) {
    const std::string_view from = std::string_view(bytes_).substr(text_begin_ + value);
    best.replacement = from.substr(0, from.find('\0'));
  }
  return best;
}

std::string decode_base64(std::string_view text, const std::string& file) {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < kBase64.size(); ++i) {
    values[static_cast<unsigned char>(kBase64[i])] = static_cast<int8_t>(i);
  }
  const auto fail = [&](const std::string& problem) {
    throw Error("base64 text " + problem, printable(file, 400), "mend the file or fetch it again");
  };
  if (text.size() % 4 != 0) fail("has " + std::to_string(text.size()) + " characters, no multiple of 4");
  const size_t padding = text.empty() ? 0 : text.substr(text.size() - 2) == "==" ? 2 : text.back() == '=' ? 1 : 0;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t at = 0; at < text.size(); at += 4) {
    uint32_t block = 0;
    for (size_t i = at; i < at + 4; ++i) {
      const int8_t value = values[static_cast<unsigned char>(text[i])];
      if (value < 0 && i < text.size() - padding) fail("has a character that is none of it");
      block = block << 6 | static_cast<uint32_t>(value < 0 ? 0 : value);
    }
    for (const int shift : {16, 8, 0}) bytes += static_cast<char>(block >> shift & 0xff);
  }
  const std::string_view lost = std::string_view(bytes).substr(bytes.size() - padding);
  if (lost.find_first_not_of('\0') != lost.npos) fail("ends in bits that belong to no byte");
  bytes.resize(bytes.size() - padding);
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t block = 0;
    for (size_t i = 0; i < 3; ++i) {
      block = block << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    }
    for (const int shift : {18, 12, 6, 0}) text += kBase64[block >> shift & 63];
  }
  const size_t missing = (3 - bytes.size() % 3) % 3;
  for (size_t i = 1; i <= missing; ++i) text[text.size() - i] = '=';
  return text;
}

}  // namespace mica
