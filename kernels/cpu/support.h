#pragma once
// What the CPU's kernels share: dispatch on the dtype, scratch memory, grain sizes.

#include <algorithm>
#include <cstdint>

#include "mica/base/parallel.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/cpu/convert.h"

namespace mica::cpu {

/// Elements of pointwise work that are worth a thread.
constexpr int64_t kGrain = 16384;

/// Rows of `row_size` elements that are worth a thread.
constexpr int64_t row_grain(int64_t row_size) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, row_size));
}

/// Calls body with a value of the type that the dtype names; throws for any but the floating types computed in.
template <typename Body>
void with_floating(const char* kernel, DType dtype, const Body& body) {
  switch (dtype) {
    case DType::float32:
      return body(float{});
    case DType::float64:
      return body(double{});
    default:
      unsupported(kernel, dtype, Device{});
  }
}

/// Likewise for the types with arithmetic: float32, float64, int64, int32.
template <typename Body>
void with_number(const char* kernel, DType dtype, const Body& body) {
  switch (dtype) {
    case DType::int64:
      return body(int64_t{});
    case DType::int32:
      return body(int32_t{});
    default:
      return with_floating(kernel, dtype, body);
  }
}

/// Scratch buffers of a thread. Each use has its own, so that a kernel keeps its buffer while it calls another.
enum class Scratch : uint8_t {
  workspace,
  panel,
  scores,
  score_gradients,
  score_slopes,
  row,
  sums,
  parameter_a,
  parameter_b,
  parameter_c,
  count
};

/// At least `bytes` of this thread's buffer, 64-byte aligned; valid until the next call for the same use.
void* scratch_bytes(Scratch use, int64_t bytes);

template <typename T>
T* scratch(Scratch use, int64_t n) {
  return static_cast<T*>(scratch_bytes(use, n * static_cast<int64_t>(sizeof(T))));
}

/// A parameter vector as contiguous T: its own memory if it is that already, else a copy in scratch; null if left out.
template <typename T>
const T* parameter(const View& x, Scratch use) {
  if (!x) return nullptr;
  if (x.dtype == dtype_of<T>() && x.contiguous()) return x.as<T>();
  T* copy = scratch<T>(use, x.numel());
  convert(x.data, x.dtype, x.rank == 0 ? 1 : x.stride(-1), copy, dtype_of<T>(), 1, x.numel());
  return copy;
}

}  // namespace mica::cpu
