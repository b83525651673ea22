#pragma once
// Products of a few rows with stored weights, in vectors of 16 floats: what a step of decoding spends its time on.

#include <cstdint>

#include "mica/kernels/cpu/simd/fetcher.h"

namespace mica::cpu::simd {

/// What the elements of a weight are, and how they are multiplied.
enum class FewKind : uint8_t {
  float32,
  float16,         ///< widened
  bfloat16,        ///< widened
  bfloat16_pairs,  ///< in pairs, as bfloat16_tile_kernels() do
  bfloat16_matrix  ///< in the order in which matrix_tile_kernels() sum
};
constexpr int64_t kFewKinds = 5;
constexpr int64_t kMostFewRows = 8;

/// A part of a product: sums[row][column] += x · W over `depth` elements.
struct FewTask {
  const char* w = nullptr;
  int64_t w_stride =
      0;  ///< bytes from one column (columns_product) or one element of the depth (rows_product) to the next
  /// Element (row, k) at x + row * x_row + k; for bfloat16_pairs the words of pairs; for bfloat16_matrix rounded.
  const float* x = nullptr;
  int64_t x_row = 0;
  int64_t rows = 0;     ///< up to kMostFewRows
  int64_t depth = 0;    ///< elements
  int64_t head = 0;     ///< words of 4 bytes (of columns_product) before the blocks, fewer than one has
  int64_t columns = 0;  ///< of rows_product
  float* sums = nullptr;
  int64_t sums_row = 0;
  Fetcher* fetcher = nullptr;  ///< asked once for every whole block (columns_product), or few_fetches() times
};
constexpr int64_t kFewBlock = 16;  ///< words of 4 bytes in a block: a line of the cache

/// 16 columns, the elements of each side by side; depth in whole words of 4 bytes.
using FewProduct = void (*)(const FewTask& task);
/// Null where the CPU has no vectors of 16 floats, or no pairs; never of bfloat16_matrix.
FewProduct columns_product(FewKind kind);
/// `columns` (a multiple of 32) columns side by side; a depth of any number of elements, of the matrix kind at most 32.
/// The sums are in the order of order_few().
FewProduct rows_product(FewKind kind);
/// How often a rows_product() of so many columns and elements of the depth asks its fetcher.
int64_t few_fetches(FewKind kind, int64_t columns, int64_t depth);
/// sums of a rows_product() in the order of the columns, in place.
void order_few(FewKind kind, float* sums, int64_t columns);

/// to[k * to_row + c] = word k of column c, for 16 columns `stride` words apart and k < words. As transpose_rows, but
/// reads each line of memory once: columns that lie a power of two apart displace each other from the first cache.
/// False, and nothing done, where the CPU has no vectors of 16 floats.
bool turn_columns(const float* columns, int64_t stride, int64_t words, float* to, int64_t to_row);

}  // namespace mica::cpu::simd
