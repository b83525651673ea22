#pragma once
// rowsum(dO * O), which attention's backward pass needs of each query: a warp a row, 16 bytes a lane.

#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {

template <typename T>
struct Along {
  HeadRows<const T> output, d_output;
  HeadColumns<RowSum<float>> sums;
  int rows, heads, size;
};

template <typename T>
__global__ void attention_along_kernel(Along<T> a) {
  const int64_t vector = int64_t{block_x()} * threads_y() + thread_y();
  const int row = static_cast<int>(vector / a.heads), head = static_cast<int>(vector % a.heads);
  if (row >= a.rows) return;
  const T *x = a.output.at(row, head), *y = a.d_output.at(row, head);
  float sum = 0;
  for (int i = static_cast<int>(thread_x()) * kWide<T>; i < a.size; i += static_cast<int>(kWarp) * kWide<T>) {
    const auto xs = load_pack<kWide<T>>(x + i), ys = load_pack<kWide<T>>(y + i);
    for (int j = 0; j < kWide<T>; ++j) sum += widen(xs.values[j]) * widen(ys.values[j]);
  }
  sum = combine_lanes(sum, Add{});
  if (thread_x() == 0) a.sums.at(row, head).along = sum;
}

/// Scratch for the sums of each query, [heads, query_rows], with `along` filled in.
template <typename T>
HeadColumns<RowSum<float>> attention_along(CudaDevice& on, const AttentionArguments& arguments,
                                           const AttentionGradients& g) {
  const View& q = arguments.query;
  const int64_t vectors = q.size(0) * q.size(1);
  HeadColumns<RowSum<float>> sums;
  sums.data = static_cast<RowSum<float>*>(on.queue.workspace(vectors * static_cast<int64_t>(sizeof(RowSum<float>))));
  sums.head_stride = q.size(0);
  sums.row_stride = 1;
  const Along<T> a{
      HeadRows<const T>(g.output), HeadRows<const T>(g.d_output), sums,
      static_cast<int>(q.size(0)), static_cast<int>(q.size(1)),   static_cast<int>(arguments.value.size(2))};
  launch("attention.backward_along", on.stream, {{static_cast<unsigned>(ceil_div(vectors, 4))}, {kWarp, 4}},
         attention_along_kernel<T>, a);
  return sums;
}

}  // namespace mica::cuda
