#pragma once
// The random numbers of sampling: each is a function of the seed, the number of the sample, and the place in the text.

#include <cstdint>

#include "mica/kernels/random.h"

namespace mica {

/// What a number decides. Different purposes use different numbers at the same place.
enum class Draw : uint64_t { token = 0, acceptance = 1, draft = 2 };

/// Where the two words of a number lie: the stream, and the index of the first of them.
struct DrawPlace {
  uint64_t stream = 0, index = 0;
};

inline DrawPlace draw_place(int64_t sample, Draw purpose, int64_t step, int64_t n = 0) {
  return {static_cast<uint64_t>(sample) | static_cast<uint64_t>(purpose) << 48,
          static_cast<uint64_t>(step) << 20 | static_cast<uint64_t>(n) << 1};
}

/// 53 bits in [0, 1). `sample` counts the texts of one prompt, `step` the new tokens, `n` the numbers of one step.
inline double uniform_draw(uint64_t seed, int64_t sample, Draw purpose, int64_t step, int64_t n = 0) {
  const DrawPlace at = draw_place(sample, purpose, step, n);
  const uint64_t high = philox_word(seed, at.stream, at.index);
  const uint64_t low = philox_word(seed, at.stream, at.index + 1);
  return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
}

}  // namespace mica
