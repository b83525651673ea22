#pragma once
// Products of a few rows with keys and values that stream by from memory.

#include <cstdint>

#include "mica/kernels/dtype.h"

namespace mica::cpu::simd {

/// A stretch of one head's keys or values: row k at data + k * stride elements, of float32, float16 or bfloat16.
struct Stream {
  const void* data = nullptr;
  DType dtype = DType::float32;
  int64_t stride = 0;
  int64_t count = 0;  ///< of rows
  int64_t size = 0;   ///< of a row
  // What to fetch into cache meanwhile: with row k, as many bytes as it has, from fetch + k * fetch_row bytes on.
  const void* fetch = nullptr;
  int64_t fetch_row = 0;
};

/// Whether streams of this dtype can be read.
bool can_stream(DType dtype);

/// scores[r * scores_row + k] = query r · key k. Queries: rows of query_row floats, a whole number of vectors, filled
/// up with zeros. Up to three columns after the last are overwritten.
void score_stream(const Stream& keys, int64_t rows, const float* queries, int64_t query_row, float* scores,
                  int64_t scores_row);

/// sums[r * sums_row + i] = sum over k of weights[r * weights_row + k] * value k [i], to which what is there is added
/// before the first when add; in the order of k. sums_row: a whole number of vectors, all of them written.
void weigh_stream(const Stream& values, int64_t rows, const float* weights, int64_t weights_row, bool add, float* sums,
                  int64_t sums_row);

/// y[i] = x[i] for i < count, in float32.
void widen(const void* x, DType dtype, int64_t count, float* y);

}  // namespace mica::cpu::simd
