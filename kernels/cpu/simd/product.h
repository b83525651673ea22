#pragma once
// Products of matrices of any size with a packed right side: how tiles, caches and threads share the work.

#include <cstdint>

#include "mica/kernels/cpu/simd/activation.h"
#include "mica/kernels/cpu/simd/norm.h"
#include "mica/kernels/cpu/simd/tile.h"

namespace mica::cpu::simd {

/// finish(A[rows, depth] · B[depth, columns]), and then layer norm over the finished rows.
///
/// B is packed in panels of kernels->width() columns, the last one rounded up to whole vectors and filled with zeros;
/// in a panel the words of one depth lie together: panel p starts at p * width * words, and its word (k, column) is k *
/// (width of the panel) + column.
struct Product {
  const TileKernels* kernels = nullptr;
  bool bfloat16 = false;  ///< panels and kernels are of pairs; A is float32 all the same, rounded while it is read
  const float* a = nullptr;
  int64_t a_row = 0, a_depth = 1;  ///< element (row, k) at a + row * a_row + k * a_depth
  const float* panels = nullptr;
  int64_t rows = 0, columns = 0, depth = 0;  ///< depth in elements
  TileFinish finish;                         ///< its pointers are those of element (0, 0)
  TileActivation activation;                 ///< likewise, of finish.y when it is made; not with a norm
  const LayerNorm* norm = nullptr;           ///< of finish.y, in place; null: none

  int64_t words() const { return bfloat16 ? (depth + 1) / 2 : depth; }
  int64_t panel_count() const { return (columns + kernels->width() - 1) / kernels->width(); }
};

/// Floats that B takes when packed.
int64_t packed_floats(const TileKernels& kernels, int64_t columns, int64_t words);

/// On all threads.
void multiply(const Product& product);

/// The rows [row_begin, row_end) and panels [panel_begin, panel_end) on this thread; the norm if these are all panels.
void multiply_block(const Product& product, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end);

}  // namespace mica::cpu::simd
