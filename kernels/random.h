#pragma once
// Random numbers that depend on nothing but (seed, stream, index): Philox4x32-10 (Salmon et al., SC 2011). The same on
// every device, for every number of threads.

#include <array>
#include <cmath>
#include <cstdint>

#include "mica/kernels/backend.h"

namespace mica {

/// Philox4x32-10: four words from a 128-bit counter and a 64-bit key.
constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t key) {
  auto k0 = static_cast<uint32_t>(key);
  auto k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53U} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return counter;
}

/// Word number `index` of the stream: lane index % 4 of block index / 4, with the stream in the counter's upper half.
constexpr uint32_t philox_word(uint64_t seed, uint64_t stream, uint64_t index) {
  const uint64_t block = index >> 2;
  return philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(stream),
                 static_cast<uint32_t>(stream >> 32)},
                seed)[index & 3];
}

/// 24 bits of a word as a float in [0, 1).
constexpr float uniform_from_word(uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24F;
}

/// What dropout with probability p compares uniform numbers with, which are multiples of 2^-24: u >= p is the same as
/// u >= threshold, in float.
inline float dropout_threshold(double p) {
  return static_cast<float>(std::ceil(p * 0x1p24) * 0x1p-24);
}

/// Which elements of a contiguous tensor are dropped: element i is kept where u_i >= p, and multiplied by 1 / (1 - p).
struct Dropout {
  double p = 0;  ///< 0: none are
  uint64_t seed = 0, stream = 0;
};

class RandomKernels {
 public:
  virtual ~RandomKernels() = default;
  /// y[i] = low + (high - low) * u_i, floating, contiguous.
  virtual void uniform(uint64_t seed, uint64_t stream, double low, double high, const View& y) = 0;
  /// y[i] = mean + deviation * n_i, n by Box-Muller from two words of an index pair; floating, contiguous.
  virtual void normal(uint64_t seed, uint64_t stream, double mean, double deviation, const View& y) = 0;
  /// y[i] = x[i] / (1 - p) where u_i >= p, else 0, and then + residual[i] where given; contiguous; y may be x or the
  /// residual. The backward pass is the same call on dy.
  virtual void dropout(const Dropout& dropout, const View& x, const View& residual, const View& y) = 0;
};

}  // namespace mica
