// Rows looked up by index, and their gradients added up.
//
// Bytes, forward: n rows of the table read and n written. Backward: n rows of dy read once; the rows of dtable that are
// named are read and written once. No atomics: a row of dtable has one owner, the first index that names it, which adds
// the others' rows in their order, so that the sum has the same bits in every run. Finding the owner reads the indices
// before one's own, n^2 / 2 of 8 bytes from the second-level cache at most, below the rows' bytes up to n of some
// 10,000. A table of few rows (token types), each named thousands of times, is summed in parts of the indices instead.

#include <algorithm>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/embedding.h"

namespace mica::cuda {
namespace {

constexpr int kMostTables = 4;
constexpr unsigned kColumns = 128;     // of a block
constexpr int64_t kSmallTable = 8;     // rows
constexpr int64_t kFewIndices = 1024;  // up to which a row's gradients are added one after the other in any table
constexpr int64_t kPartSize = 64;      // indices that one block of a small table adds up

// Tables of any of the floating types, each of its own.
struct Tables {
  const void* table[kMostTables];
  DType dtype[kMostTables];
  const int64_t* ids[kMostTables];
  int64_t row_stride[kMostTables], stride[kMostTables], rows[kMostTables], id_stride[kMostTables];
  int count;
};

template <typename C>
__device__ __forceinline__ C element(const void* table, DType dtype, int64_t at) {
  switch (dtype) {
    case DType::float32:
      return static_cast<C>(static_cast<const float*>(table)[at]);
    case DType::float16:
      return static_cast<C>(widen(static_cast<const float16*>(table)[at]));
    case DType::bfloat16:
      return static_cast<C>(widen(static_cast<const bfloat16*>(table)[at]));
    default:
      return static_cast<C>(static_cast<const double*>(table)[at]);
  }
}

template <typename To>
__global__ void forward_kernel(Tables t, int64_t n, int64_t size, To* y, Fault* fault) {
  using C = Computed<To>;
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < n * size; i += step) {
    const int64_t row = i / size, column = i - row * size;
    C sum = 0;
    for (int k = 0; k < t.count; ++k) {
      int64_t id = t.ids[k][row * t.id_stride[k]];
      if (id < 0 || id >= t.rows[k]) {
        if (column == 0) report(fault, FaultKind::embedding_index, id, t.rows[k]);
        id = 0;
      }
      const C value = element<C>(t.table[k], t.dtype[k], id * t.row_stride[k] + column * t.stride[k]);
      sum = k == 0 ? value : sum + value;
    }
    y[i] = narrow<To>(sum);
  }
}

template <typename T>
struct Scatter {
  const T* dy;
  int64_t dy_stride;
  const int64_t* ids;
  int64_t id_stride, n, size, rows, padding_idx;
  T* dtable;
  Fault* fault;
  __device__ __forceinline__ int64_t id(int64_t i) const { return ids[i * id_stride]; }
  __device__ __forceinline__ bool padding(int64_t id) const { return padding_idx >= 0 && id == padding_idx; }
};

// Block x: one index and kColumns columns, a warp's lanes looking for others of the same id.
template <typename T>
__global__ void scatter_kernel(Scatter<T> a) {
  const int64_t i = block_x(), column = int64_t{block_y()} * kColumns + thread_x();
  const int64_t id = a.id(i);
  if (a.padding(id)) return;  // the whole block
  if (id < 0 || id >= a.rows) {
    if (thread_x() == 0) report(a.fault, FaultKind::embedding_index, id, a.rows);
    return;
  }
  const unsigned lane = lane_index();
  for (int64_t j = 0; j < i; j += kWarp) {
    const bool same = j + lane < i && a.id(j + lane) == id;
    if (ballot(same) != 0) return;  // an earlier one is the owner
  }
  Computed<T> sum = column < a.size ? widen(a.dtable[id * a.size + column]) : Computed<T>(0);
  for (int64_t j = i / kWarp * kWarp; j < a.n; j += kWarp) {
    uint32_t same = ballot(j + lane >= i && j + lane < a.n && a.id(j + lane) == id);
    for (; same != 0; same &= same - 1) {
      int64_t from = j;
      for (uint32_t bits = same; (bits & 1) == 0; bits >>= 1) ++from;
      if (column < a.size) sum += widen(a.dy[from * a.dy_stride + column]);
    }
  }
  if (column < a.size) a.dtable[id * a.size + column] = narrow<T>(sum);
}

// partial[part, row, column] of a small table.
template <typename T>
__global__ void small_parts_kernel(Scatter<T> a, Computed<T>* partial) {
  const int64_t column = int64_t{block_x()} * kColumns + thread_x(), part = block_y();
  if (column >= a.size) return;
  Computed<T> sums[kSmallTable] = {};
  for (int64_t i = part * kPartSize; i < std::min(a.n, (part + 1) * kPartSize); ++i) {
    const int64_t id = a.id(i);
    if (a.padding(id)) continue;
    if (id < 0 || id >= a.rows) {
      report(a.fault, FaultKind::embedding_index, id, a.rows);
      continue;
    }
    const Computed<T> dy = widen(a.dy[i * a.dy_stride + column]);
#pragma unroll
    for (int64_t row = 0; row < kSmallTable; ++row) {
      if (row == id) sums[row] += dy;
    }
  }
  for (int64_t row = 0; row < a.rows; ++row) partial[(part * a.rows + row) * a.size + column] = sums[row];
}

template <typename T>
__global__ void small_sum_kernel(Scatter<T> a, const Computed<T>* partial, int64_t parts) {
  const int64_t at = int64_t{block_x()} * threads_x() + thread_x();
  if (at >= a.rows * a.size) return;
  Computed<T> sum = widen(a.dtable[at]);
  for (int64_t part = 0; part < parts; ++part) sum += partial[part * a.rows * a.size + at];
  a.dtable[at] = narrow<T>(sum);
}

}  // namespace

void CudaEmbedding::forward(const View& table, const View& ids, const View& y) {
  forward_sum(&table, &ids, 1, y);
}

void CudaEmbedding::forward_sum(const View* tables, const View* ids, int count, const View& y) {
  if (y.numel() == 0) return;
  Tables t{};
  t.count = count;
  for (int k = 0; k < count; ++k) {
    with_floating("embedding.forward", tables[k].dtype, device_.device(), [](auto) {});
    t.table[k] = tables[k].data;
    t.dtype[k] = tables[k].dtype;
    t.ids[k] = ids[k].as<const int64_t>();
    t.row_stride[k] = tables[k].stride(0);
    t.stride[k] = tables[k].stride(1);
    t.rows[k] = tables[k].size(0);
    t.id_stride[k] = ids[k].stride(0);
  }
  with_floating("embedding.forward", y.dtype, device_.device(), [&](auto zero) {
    using To = decltype(zero);
    launch("embedding.forward", device_.stream, over(y.numel()), forward_kernel<To>, t, y.size(0), y.size(1),
           y.as<To>(), device_.fault);
  });
}

void CudaEmbedding::backward(const View& dy, const View& ids, int64_t padding_idx, const View& dtable) {
  const int64_t n = ids.numel(), rows = dtable.size(0), size = dtable.size(1);
  if (n == 0 || size == 0) return;
  with_floating("embedding.backward", dtable.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    const Scatter<T> a{
        dy.as<const T>(), dy.stride(0), ids.as<const int64_t>(), ids.stride(0), n, size, rows, padding_idx,
        dtable.as<T>(),   device_.fault};
    const auto columns = static_cast<unsigned>(ceil_div(size, kColumns));
    const int64_t parts = ceil_div(n, kPartSize);
    if (rows <= kSmallTable && n > kFewIndices && parts <= 65535) {
      auto* partial = static_cast<C*>(device_.queue.workspace(parts * rows * size * static_cast<int64_t>(sizeof(C))));
      launch("embedding.backward", device_.stream, {{columns, static_cast<unsigned>(parts)}, {kColumns}},
             small_parts_kernel<T>, a, partial);
      launch("embedding.backward", device_.stream, over(rows * size), small_sum_kernel<T>, a, partial, parts);
      return;
    }
    launch("embedding.backward", device_.stream, {{static_cast<unsigned>(n), columns}, {kColumns}}, scatter_kernel<T>,
           a);
  });
}

}  // namespace mica::cuda
