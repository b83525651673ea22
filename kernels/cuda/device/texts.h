#pragma once
// Which text of a ragged batch a row belongs to.

#include <cstdint>

#include "mica/kernels/cuda/device/keywords.h"

namespace mica::cuda {

/// The last text that begins at the row or before it: the one that owns the row, where texts leave no gaps. `begins`
/// has count + 1 entries; log2(count) reads, from the cache for all rows but the first.
__device__ __forceinline__ int text_of(const int32_t* begins, int count, int64_t row) {
  int low = 0, high = count;  // begins[low] <= row < begins[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (begins[middle] <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace mica::cuda
