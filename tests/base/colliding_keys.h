#pragma once
// Texts that one hash function maps to one value, as an attacker would make them to turn each look-up into a walk.

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mica {

/// `count` texts of 16 letters, digits and the like with the same std::hash. libstdc++ hashes 8 bytes at a time by
///   h = (h ^ f(block)) * m,  f(k) = mix(k * m) * m,  mix(k) = k ^ (k >> 47),
/// so for any first block there is a second one that brings h to a chosen value; those that are plain text are kept.
/// None for another library.
inline std::vector<std::string> colliding_keys(size_t count) {
  constexpr uint64_t m = 0xc6a4a7935bd1e995U;
  constexpr uint64_t seed = 0xc70f6907U;
  uint64_t inverse = m;  // of m modulo 2^64, by Newton's iteration
  for (int i = 0; i < 6; ++i) inverse *= 2 - m * inverse;
  const auto mix = [](uint64_t k) { return k ^ (k >> 47); };
  std::vector<std::string> keys;
  for (uint32_t i = 0; keys.size() < count && i < 50'000'000; ++i) {
    char text[16];
    for (int d = 0; d < 8; ++d) text[d] = static_cast<char>('a' + ((i >> (4 * d)) & 15U));
    uint64_t first = 0;
    std::memcpy(&first, text, 8);
    const uint64_t h = ((seed ^ (16 * m)) ^ (mix(first * m) * m)) * m;
    const uint64_t second = mix(h * inverse) * inverse;  // mix is its own inverse
    std::memcpy(text + 8, &second, 8);
    bool plain = true;
    for (const char c : std::string_view(text + 8, 8)) plain = plain && c > ' ' && c < 0x7f && c != '"' && c != '\\';
    if (plain) keys.emplace_back(text, 16);
  }
  const std::hash<std::string_view> hash;
  if (keys.size() < count || hash(keys.front()) != hash(keys.back())) keys.clear();
  return keys;
}

}  // namespace mica
