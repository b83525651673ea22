#pragma once
// Weights as files hold them, on their way into the words that tile products read.

#include <cstdint>

#include "mica/kernels/cpu/simd/fetcher.h"
#include "mica/kernels/cpu/simd/tile.h"
#include "mica/kernels/view.h"

namespace mica::cpu::simd {

/// A weight [out, in] in float32, bfloat16 or float16, one of whose strides is 1. A word is an element as float32, or,
/// for bfloat16 where the CPU multiplies it, a pair of elements that follow each other in the depth; the words of an
/// odd depth end with a zero.
class StoredWeight {
 public:
  /// Whether a view is one.
  static bool supports(const View& weight);
  explicit StoredWeight(const View& weight);

  const TileKernels& kernels() const { return *kernels_; }
  bool pairs() const { return pairs_; }
  DType dtype() const { return dtype_; }
  int64_t out() const { return out_; }
  int64_t words() const { return pairs_ ? (in_ + 1) / 2 : in_; }
  /// Columns of the product are rows of the memory: each column's elements lie together.
  bool by_columns() const { return depth_stride_ == 1; }

  /// The words [word, word + count) of the columns [column, column + columns): word k of column c goes to to[k * to_row
  /// + c]. Zeros fill the last vector.
  void load(int64_t column, int64_t columns, int64_t word, int64_t count, float* to, int64_t to_row) const;
  /// Where these words lie ready, `row_stride()` floats from one to the next of a column; null where they need loading.
  const float* in_place(int64_t column, int64_t columns, int64_t word) const;
  int64_t row_stride() const { return depth_stride_; }

  /// Element (column, depth), and the bytes from it to the next one that is not beside it.
  const char* at(int64_t column, int64_t depth) const {
    return data_ + (column * column_stride_ + depth * depth_stride_) * item_;
  }
  int64_t stride_bytes() const { return (by_columns() ? column_stride_ : depth_stride_) * item_; }
  /// Elements from this one of a column (the elements of each side by side) to the first line of the cache that begins
  /// with one; 0 where columns differ in that, or where no line begins with four bytes of elements.
  int64_t before_line(int64_t depth) const;
  /// The memory of those words.
  Region region(int64_t column, int64_t columns, int64_t word, int64_t count) const;

 private:
  void load_columns(int64_t column, int64_t columns, int64_t word, int64_t count, float* to, int64_t to_row) const;
  void load_rows(int64_t column, int64_t columns, int64_t word, int64_t count, float* to, int64_t to_row) const;

  const char* data_;
  DType dtype_;
  int64_t item_, out_, in_, column_stride_, depth_stride_;
  bool pairs_;
  const TileKernels* kernels_;
};

/// y[i] = x[i] of bfloat16 or float16 as float32, for i < size.
void widen(DType dtype, const void* x, int64_t size, float* y);

}  // namespace mica::cpu::simd
