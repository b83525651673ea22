#include "mica/training/dataset/fingerprint.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace mica {

// Two lanes, each a multiply and a rotation by constants of its own; the finalizer of SplitMix64 spreads the bits.
void Fingerprint::mix(uint64_t word) {
  a_ = std::rotl(a_ ^ (word * 0x87C37B91114253D5U), 31) * 0x4CF5AD432745937FU + b_;
  b_ = std::rotl(b_ ^ (word * 0x9FB21C651E98DF25U), 29) * 0xD6E8FEB86659FD93U + a_;
}

Fingerprint& Fingerprint::add(std::string_view bytes) {
  mix(bytes.size());
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min(sizeof(word), bytes.size() - i));
    mix(word);
  }
  return *this;
}

Fingerprint& Fingerprint::add(int64_t number) {
  mix(static_cast<uint64_t>(number));
  return *this;
}

std::string Fingerprint::text() const {
  const auto spread = [](uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
  };
  std::string result;
  for (const uint64_t lane : {spread(a_), spread(b_ ^ std::rotl(a_, 17))}) {
    for (int shift = 60; shift >= 0; shift -= 4) result += "0123456789abcdef"[lane >> shift & 15];
  }
  return result;
}

}  // namespace mica
