#pragma once
// Elements in memory and the type they are computed in; several elements moved at once.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "mica/kernels/cuda/device/keywords.h"
#include "mica/kernels/dtype.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace mica::cuda {

/// Sums and functions of float16 and bfloat16 are computed in float32, others in their own type.
template <typename T>
using Computed = std::conditional_t<std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>, float, T>;

template <typename T>
__device__ __forceinline__ Computed<T> widen(T value) {
  if constexpr (std::is_same_v<T, bfloat16>) {
#ifdef __CUDACC__
    return __uint_as_float(static_cast<uint32_t>(value.bits) << 16);
#else
    return static_cast<float>(value);
#endif
  } else if constexpr (std::is_same_v<T, float16>) {
#ifdef __CUDACC__
    return __half2float(__ushort_as_half(value.bits));
#else
    return static_cast<float>(value);
#endif
  } else {
    return value;
  }
}

/// To the element's type, rounded to nearest even.
template <typename T, typename From>
__device__ __forceinline__ T narrow(From value) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
#ifdef __CUDACC__
    T result;
    if constexpr (std::is_same_v<T, bfloat16>) {
      result.bits = __bfloat16_as_ushort(__float2bfloat16_rn(static_cast<float>(value)));
    } else {
      result.bits = __half_as_ushort(__float2half_rn(static_cast<float>(value)));
    }
    return result;
#else
    return T(static_cast<float>(value));
#endif
  } else {
    return static_cast<T>(value);
  }
}

/// A double as a float rounded to odd: rounding that once more to 16 bits gives what rounding the double would.
__device__ __forceinline__ float round_to_odd(double x) {
  const auto nearest = static_cast<float>(x);
  const auto widened = static_cast<double>(nearest);
  if (widened == x || x != x || std::isinf(nearest)) return nearest;
  const float towards = std::abs(widened) > std::abs(x) ? std::nextafter(nearest, 0.0F) : nearest;
  uint32_t bits = 0;
  std::memcpy(&bits, &towards, sizeof(bits));
  bits |= 1U;
  float odd = 0;
  std::memcpy(&odd, &bits, sizeof(odd));
  return odd;
}

/// Elements that move in one access, of up to 16 bytes a lane.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T values[kCount];
};
/// As many as fill 16 bytes.
template <typename T>
constexpr int kWide = static_cast<int>(16 / sizeof(T));

template <int kCount, typename T>
__device__ __forceinline__ Pack<T, kCount> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, kCount>*>(from);
}
template <int kCount, typename T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, kCount>& pack) {
  *reinterpret_cast<Pack<T, kCount>*>(to) = pack;
}

/// The lowest finite number, and -infinity where the type has one.
template <typename T>
__device__ __forceinline__ T minus_infinity() {
  return -static_cast<T>(INFINITY);
}

}  // namespace mica::cuda
