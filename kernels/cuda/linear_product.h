#pragma once
// A matrix product with all that is done to it, as the kernels of linear take it, and which kernel takes which.
//
//   t = alpha * sum over depth of a(row, depth) b(column, depth);  t += bias;  t = activation(t);  y = t + residual
//
// or, for training, y = t before its activation, which goes to a place of its own (Finish).
//
// Factors are multiplied in one type, float32, float16, bfloat16 or float64, to which they are converted on the way
// into shared memory, and summed in float32 (float64 of float64).

#include <cstdint>

#include "mica/kernels/activation.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/number.h"

namespace mica::cuda {

/// Element (row, depth) of batch (i, j) lies at data[row * row_stride + depth * depth_stride + i * batch_strides[0] +
/// j * batch_strides[1]]. The rows of b are the columns of the result.
struct Factor {
  const void* data;
  DType dtype;
  int64_t row_stride, depth_stride;
  int64_t batch_strides[2];
};

/// A vector of any floating dtype, or none.
struct Parameter {
  const void* data;
  DType dtype;
  int64_t stride;
};

struct Finish {
  double alpha;
  Parameter bias;
  Activation activation;
  const void* residual;  ///< of y's dtype, or null; may be y
  int64_t residual_row, residual_batch[2];
  void* y;
  DType dtype;
  int64_t row_stride, batch_strides[2];
  bool wide;  ///< four neighbours of y, and of what follows, can be moved at once
  /// Of y's dtype, their rows n elements apart, or null. With `before` y = t * activation'(before) and activated =
  /// activation(before), else y = t and activated = activation(y).
  const void* before;
  void* activated;

  constexpr bool has_extras() const { return before != nullptr || activated != nullptr; }
};

struct Product {
  Factor a, b;
  Finish finish;
  int64_t m, n, k;
  int64_t outer, inner;  ///< batches: outer * inner of them
  /// Of the result's dtype, or null: the sums of a's and of b's rows over the depth.
  void *a_sums, *b_sums;
};

/// Whether rows can be moved four elements at a time.
inline bool in_fours(const void* data, DType dtype, int64_t row_stride, const int64_t (&batch_strides)[2]) {
  const auto bytes = static_cast<uintptr_t>(4 * item_size(dtype));
  return reinterpret_cast<uintptr_t>(data) % bytes == 0 && row_stride % 4 == 0 && batch_strides[0] % 4 == 0 &&
         batch_strides[1] % 4 == 0;
}

/// In which type factors of these dtypes are multiplied when b is a weight: its own, but float32 where the other would
/// not fit: a weight of float16 with anything but float16, one of bfloat16 with float16.
DType multiplied_as(DType x, DType weight);

inline int multiprocessors(const CudaDevice& on) {
  return properties(on.index).multiprocessors;
}

/// Each puts the product on the stream; its factors may have any floating dtype and any strides. The sums of rows are
/// not made unless sums_by_the_way() says so.
void multiply_float(CudaDevice& on, const char* name, const Product& product);
void multiply_double(CudaDevice& on, const char* name, const Product& product);
void multiply_half(CudaDevice& on, const char* name, const Product& product, DType factors);

/// By the warpgroup instructions of sm_90a: factors of the type that is multiplied; batches in lines of whole 16 bytes.
bool hopper_multiplies(const CudaDevice& on, const Product& product, DType factors);
void multiply_hopper(CudaDevice& on, const char* name, const Product& product, DType factors);

/// Whether the tiles add up the rows of the factors while they multiply: both as they lie, along their rows.
bool sums_by_the_way(const Product& product, DType factors);

/// Rows of a that the kernels for few rows take, which read b once. Their results differ from those of the others in
/// the order of sums; one row's do not depend on how many there are.
constexpr int64_t kFewRows = 16;
void multiply_rows_float(CudaDevice& on, const char* name, const Product& product);
void multiply_rows_half(CudaDevice& on, const char* name, const Product& product, DType factors);

/// Element i of an array of any floating dtype.
template <typename C>
__device__ __forceinline__ C read_floating(const void* data, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::float16:
      return static_cast<C>(widen(static_cast<const float16*>(data)[i]));
    case DType::bfloat16:
      return static_cast<C>(widen(static_cast<const bfloat16*>(data)[i]));
    case DType::float64:
      return static_cast<C>(static_cast<const double*>(data)[i]);
    default:
      return static_cast<C>(static_cast<const float*>(data)[i]);
  }
}

template <typename C>
__device__ __forceinline__ void write_floating(void* data, DType dtype, int64_t i, C value) {
  switch (dtype) {
    case DType::float16:
      static_cast<float16*>(data)[i] = narrow<float16>(value);
      break;
    case DType::bfloat16:
      static_cast<bfloat16*>(data)[i] = narrow<bfloat16>(value);
      break;
    case DType::float64:
      static_cast<double*>(data)[i] = static_cast<double>(value);
      break;
    default:
      static_cast<float*>(data)[i] = static_cast<float>(value);
  }
}

/// Where a batch's part of an operand starts, in elements.
__device__ __forceinline__ int64_t batch_offset(const int64_t (&strides)[2], int64_t batch, int64_t inner) {
  return batch / inner * strides[0] + batch % inner * strides[1];
}

/// The block's batch and its tile of the result. Tiles are taken eight rows of tiles at a time, column by column, so
/// that blocks that run together share the factors that they read.
struct TilePlace {
  int64_t batch, row, column;
};
/// Of `rows` x `columns` tiles a batch, the block-th.
__device__ __forceinline__ TilePlace tile_place(int64_t rows, int64_t columns, int64_t block, int tile_rows,
                                                int tile_columns) {
  constexpr int64_t kGroup = 8;
  const int64_t tile = block % (rows * columns), in_group = kGroup * columns;
  const int64_t first = tile / in_group * kGroup, rest = tile % in_group;
  const int64_t height = rows - first < kGroup ? rows - first : kGroup;
  return {block / (rows * columns), (first + rest % height) * tile_rows, rest / height * tile_columns};
}
__device__ __forceinline__ TilePlace tile_place(const Product& p, int64_t block, int tile_rows, int tile_columns) {
  return tile_place((p.m + tile_rows - 1) / tile_rows, (p.n + tile_columns - 1) / tile_columns, block, tile_rows,
                    tile_columns);
}
inline unsigned tile_count(const Product& p, int64_t tile_rows, int64_t tile_columns) {
  const int64_t tiles = (p.m + tile_rows - 1) / tile_rows * ((p.n + tile_columns - 1) / tile_columns);
  return static_cast<unsigned>(tiles * p.outer * p.inner);
}

}  // namespace mica::cuda
