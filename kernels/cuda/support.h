#pragma once
// What the CUDA kernels' host sides share: dispatch on the dtype and on the width of accesses, rounding.

#include <cstdint>

#include "mica/kernels/backend.h"
#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/launch.h"

namespace mica::cuda {

constexpr int64_t ceil_div(int64_t n, int64_t by) {
  return (n + by - 1) / by;
}
constexpr int64_t round_up(int64_t n, int64_t multiple) {
  return ceil_div(n, multiple) * multiple;
}

/// Calls body with a value of the type that the dtype names, among float32, float16, bfloat16 and float64.
template <typename Body>
void with_floating(const char* kernel, DType dtype, Device device, const Body& body) {
  switch (dtype) {
    case DType::float32:
      return body(float{});
    case DType::float16:
      return body(float16{});
    case DType::bfloat16:
      return body(bfloat16{});
    case DType::float64:
      return body(double{});
    default:
      unsupported(kernel, dtype, device);
  }
}

/// Likewise, and int64 and int32.
template <typename Body>
void with_number(const char* kernel, DType dtype, Device device, const Body& body) {
  switch (dtype) {
    case DType::int64:
      return body(int64_t{});
    case DType::int32:
      return body(int32_t{});
    default:
      return with_floating(kernel, dtype, device, body);
  }
}

/// Whether rows of `size` elements at this address, `row_stride` elements apart, can be read 16 bytes at a time.
inline bool wide_rows(const View& view, int64_t size, int64_t row_stride) {
  const int64_t wide = 16 / item_size(view.dtype);
  return size % wide == 0 && row_stride % wide == 0 && reinterpret_cast<uintptr_t>(view.data) % 16 == 0;
}
/// Of contiguous rows; a view that is left out asks for nothing.
inline bool wide_rows(const View& view, int64_t size) {
  return !view || wide_rows(view, size, size);
}

}  // namespace mica::cuda
