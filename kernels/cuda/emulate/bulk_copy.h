#pragma once
// The copying unit: boxes of tensors into shared memory, swizzled, landing at any time allowed.

#include <cstdint>
#include <functional>

#include "mica/kernels/cuda/emulate/machine.h"

namespace mica::cuda::emulate {

/// What an emulated tensor map says. Fastest dimension first.
struct TensorBox {
  const std::byte* data;
  int64_t sizes[4];
  int64_t strides[4];  ///< in bytes
  int32_t box[4];
  int32_t rank, item_bytes;
  bool swizzled;
};

/// To and from the words of a TensorMap.
void write_words(const TensorBox& tensor, uint64_t* words);

/// `landed` is called with the bytes of the box when they are there.
void copy_box(void* to, const uint64_t* words, const int* at, int rank, std::function<void(unsigned)> landed,
              Line line);

/// Where a byte of a block's shared memory lies under the 128-byte swizzle: offsets from the start of shared memory.
constexpr int64_t swizzled_128(int64_t offset) {
  return offset ^ ((offset >> 7 & 7) << 4);
}

}  // namespace mica::cuda::emulate
