#pragma once
// A run of elements from one dtype to another.

#include <cstdint>

#include "mica/kernels/dtype.h"

namespace mica::cpu {

/// to[i * to_stride] = from[i * from_stride] for i < n; strides in elements. Rounds to nearest even, truncates to
/// integers (what lies outside int64 saturates, NaN becomes 0, narrower integers wrap), compares with 0 for bool.
/// Throws for the 8-bit floats as targets.
void convert(const void* from, DType from_dtype, int64_t from_stride, void* to, DType to_dtype, int64_t to_stride,
             int64_t n);

/// As convert(), of values given as double.
void store(const double* from, void* to, DType to_dtype, int64_t to_stride, int64_t n);

}  // namespace mica::cpu
