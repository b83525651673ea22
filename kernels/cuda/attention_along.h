#pragma once
// rowsum(dO * O), which attention's backward pass needs of each query: made by the block that has the query, a warp a
// row, 16 bytes a lane.

#include <algorithm>

#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {

/// Fills in `along` of the rows [row, row + rows) of a head, for this block's threads to read, and for the kernel after
/// it. All threads of the block call.
template <typename T>
__device__ __forceinline__ void write_along(const HeadRows<const T>& output, const HeadRows<const T>& d_output,
                                            const HeadColumns<RowSum<float>>& sums, int row, int head, int rows,
                                            int size, int threads) {
  for (int r = static_cast<int>(warp_index()); r < rows; r += threads / static_cast<int>(kWarp)) {
    const T *x = output.at(row + r, head), *y = d_output.at(row + r, head);
    float sum = 0;
    for (int i = static_cast<int>(lane_index()) * kWide<T>; i < size; i += static_cast<int>(kWarp) * kWide<T>) {
      const auto xs = load_pack<kWide<T>>(x + i), ys = load_pack<kWide<T>>(y + i);
      for (int j = 0; j < kWide<T>; ++j) sum += widen(xs.values[j]) * widen(ys.values[j]);
    }
    sum = combine_lanes(sum, Add{});
    if (lane_index() == 0) sums.at(row + r, head).along = sum;
  }
  block_barrier();
}

/// Scratch for the sums of each query, [heads, query_rows].
inline HeadColumns<RowSum<float>> row_sums_scratch(CudaDevice& on, const AttentionArguments& arguments) {
  const View& q = arguments.query;
  const int64_t vectors = q.size(0) * q.size(1);
  HeadColumns<RowSum<float>> sums;
  sums.data = static_cast<RowSum<float>*>(on.queue.workspace(vectors * static_cast<int64_t>(sizeof(RowSum<float>))));
  sums.head_stride = q.size(0);
  sums.row_stride = 1;
  return sums;
}

}  // namespace mica::cuda
