#pragma once
// Dropout on the way: what becomes of neighbouring elements of a tensor that is being dropped (kernels/random.h).

#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/device/seed.h"
#include "mica/kernels/random.h"

namespace mica::cuda {

struct FourUniforms {
  float u[4];
};

/// The uniform numbers of the elements 4 block to 4 block + 3.
__device__ __forceinline__ FourUniforms uniform_block(uint64_t seed, uint64_t stream, uint64_t block) {
  const auto words = philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                             static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                            seed);
  return {{uniform_from_word(words[0]), uniform_from_word(words[1]), uniform_from_word(words[2]),
           uniform_from_word(words[3])}};
}

/// A dropout as a kernel takes it, for elements computed in C.
template <typename C>
struct DroppedElements {
  Seed seed;
  uint64_t stream = 0;
  float threshold = 0;  ///< 0: nothing is dropped
  C scale = 1;

  DroppedElements() = default;
  explicit DroppedElements(const Dropout& dropout)
      : seed(dropout.seed),
        stream(dropout.stream),
        threshold(dropout_threshold(dropout.p)),
        scale(static_cast<C>(1 / (1 - dropout.p))) {}

  __device__ __forceinline__ bool any() const { return threshold > 0; }

  /// values are the elements [first, first + kCount); first is a multiple of kCount, which is 1, 2, or one of 4.
  template <int kCount>
  __device__ __forceinline__ void drop(int64_t first, C (&values)[kCount]) const {
    if constexpr (kCount == 1) {
      const float u = uniform_from_word(philox_word(seed.get(), stream, static_cast<uint64_t>(first)));
      values[0] = u >= threshold ? values[0] * scale : C(0);
    } else if constexpr (kCount == 2) {
      const FourUniforms four = uniform_block(seed.get(), stream, static_cast<uint64_t>(first) / 4);
      const bool upper = first % 4 != 0;
      values[0] = (upper ? four.u[2] : four.u[0]) >= threshold ? values[0] * scale : C(0);
      values[1] = (upper ? four.u[3] : four.u[1]) >= threshold ? values[1] * scale : C(0);
    } else {
      static_assert(kCount % 4 == 0);
      const uint64_t key = seed.get();
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        const FourUniforms four = uniform_block(key, stream, static_cast<uint64_t>(first + i) / 4);
#pragma unroll
        for (int j = 0; j < 4; ++j) values[i + j] = four.u[j] >= threshold ? values[i + j] * scale : C(0);
      }
    }
  }
};

}  // namespace mica::cuda
