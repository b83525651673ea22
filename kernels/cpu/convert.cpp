// Conversion between every two dtypes, by way of double or int64: a loader for each source and a storer for each target
// instead of a loop for each pair. The pairs that weights are loaded through have loops of their own.

#include "mica/kernels/cpu/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "mica/kernels/backend.h"

namespace mica::cpu {
namespace {

// The 8-bit floats and bool as types of their own, for the templates below.
struct E4m3 {
  uint8_t bits;
};
struct E5m2 {
  uint8_t bits;
};
struct Boolean {
  uint8_t byte;
};

template <typename From>
double as_double(From x) {
  if constexpr (std::is_same_v<From, E4m3>) {
    return static_cast<double>(float8_e4m3_to_float(x.bits));
  } else if constexpr (std::is_same_v<From, E5m2>) {
    return static_cast<double>(float8_e5m2_to_float(x.bits));
  } else if constexpr (std::is_same_v<From, float16> || std::is_same_v<From, bfloat16>) {
    return static_cast<double>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<From, Boolean>) {
    return x.byte != 0 ? 1.0 : 0.0;
  } else {
    return static_cast<double>(x);
  }
}

// A double as a float rounded to odd: rounding that once more to 16 bits gives what rounding the double would.
float round_to_odd(double x) {
  const auto nearest = static_cast<float>(x);
  const auto widened = static_cast<double>(nearest);
  if (widened == x || std::isnan(x) || std::isinf(nearest)) return nearest;
  auto bits = std::bit_cast<uint32_t>(nearest);
  if (std::abs(widened) > std::abs(x)) --bits;  // truncated towards zero
  return std::bit_cast<float>(bits | 1U);
}

int64_t truncate(double x) {
  if (std::isnan(x)) return 0;
  if (x >= 0x1p63) return std::numeric_limits<int64_t>::max();
  if (x < -0x1p63) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(x);
}

template <typename To, typename Middle>
To from_middle(Middle x) {
  if constexpr (std::is_same_v<To, Boolean>) {
    return {static_cast<uint8_t>(x != 0)};
  } else if constexpr (std::is_same_v<To, float16> || std::is_same_v<To, bfloat16>) {
    if constexpr (std::is_same_v<Middle, double>) return To(round_to_odd(x));
    return To(round_to_odd(static_cast<double>(x)));
  } else if constexpr (std::is_integral_v<To> && std::is_same_v<Middle, double>) {
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (x >= 0x1p63) return x >= 0x1p64 ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(x);
    }
    return static_cast<To>(truncate(x));
  } else {
    return static_cast<To>(x);
  }
}

template <typename Body>
void with_source(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::float32:
      return body(float{});
    case DType::float16:
      return body(float16{});
    case DType::bfloat16:
      return body(bfloat16{});
    case DType::float64:
      return body(double{});
    case DType::float8_e4m3:
      return body(E4m3{});
    case DType::float8_e5m2:
      return body(E5m2{});
    case DType::int64:
      return body(int64_t{});
    case DType::int32:
      return body(int32_t{});
    case DType::int16:
      return body(int16_t{});
    case DType::int8:
      return body(int8_t{});
    case DType::uint8:
      return body(uint8_t{});
    case DType::uint16:
      return body(uint16_t{});
    case DType::uint32:
      return body(uint32_t{});
    case DType::uint64:
      return body(uint64_t{});
    case DType::boolean:
      return body(Boolean{});
  }
}

template <typename T>
constexpr bool kIsFloat8 = std::is_same_v<T, E4m3> || std::is_same_v<T, E5m2>;

template <typename Middle>
void store_middle(const Middle* from, void* to, DType to_dtype, int64_t to_stride, int64_t n) {
  with_source(to_dtype, [&](auto tag) {
    using To = decltype(tag);
    if constexpr (kIsFloat8<To>) {
      unsupported("shape.copy", to_dtype, Device{});
    } else {
      To* target = static_cast<To*>(to);
      for (int64_t i = 0; i < n; ++i) target[i * to_stride] = from_middle<To>(from[i]);
    }
  });
}

template <typename T>
void move(const void* from, int64_t from_stride, void* to, int64_t to_stride, int64_t n) {
  const T* source = static_cast<const T*>(from);
  T* target = static_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) target[i * to_stride] = source[i * from_stride];
}

void move_same(const void* from, int64_t from_stride, void* to, int64_t to_stride, int64_t n, int64_t size) {
  if (from_stride == 1 && to_stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n * size));
  } else if (size == 8) {
    move<uint64_t>(from, from_stride, to, to_stride, n);
  } else if (size == 4) {
    move<uint32_t>(from, from_stride, to, to_stride, n);
  } else if (size == 2) {
    move<uint16_t>(from, from_stride, to, to_stride, n);
  } else {
    move<uint8_t>(from, from_stride, to, to_stride, n);
  }
}

template <typename From, typename To>
void direct(const void* from, int64_t from_stride, void* to, int64_t to_stride, int64_t n) {
  const From* source = static_cast<const From*>(from);
  To* target = static_cast<To*>(to);
  for (int64_t i = 0; i < n; ++i) target[i * to_stride] = static_cast<To>(source[i * from_stride]);
}

}  // namespace

void store(const double* from, void* to, DType to_dtype, int64_t to_stride, int64_t n) {
  store_middle(from, to, to_dtype, to_stride, n);
}

void convert(const void* from, DType from_dtype, int64_t from_stride, void* to, DType to_dtype, int64_t to_stride,
             int64_t n) {
  if (n <= 0) return;
  if (from_dtype == to_dtype) return move_same(from, from_stride, to, to_stride, n, item_size(to_dtype));
  if (from_dtype == DType::bfloat16 && to_dtype == DType::float32)
    return direct<bfloat16, float>(from, from_stride, to, to_stride, n);
  if (from_dtype == DType::float16 && to_dtype == DType::float32)
    return direct<float16, float>(from, from_stride, to, to_stride, n);
  if (from_dtype == DType::float32 && to_dtype == DType::bfloat16)
    return direct<float, bfloat16>(from, from_stride, to, to_stride, n);
  if (from_dtype == DType::float32 && to_dtype == DType::float16)
    return direct<float, float16>(from, from_stride, to, to_stride, n);

  constexpr int64_t kBlock = 256;
  const int64_t to_size = item_size(to_dtype);
  with_source(from_dtype, [&](auto tag) {
    using From = decltype(tag);
    using Middle = std::conditional_t<std::is_integral_v<From>, int64_t, double>;
    const From* source = static_cast<const From*>(from);
    Middle block[kBlock];
    for (int64_t begin = 0; begin < n; begin += kBlock) {
      const int64_t size = std::min(kBlock, n - begin);
      for (int64_t i = 0; i < size; ++i) {
        const From x = source[(begin + i) * from_stride];
        if constexpr (std::is_integral_v<From>) {
          block[i] = static_cast<int64_t>(x);
        } else {
          block[i] = as_double(x);
        }
      }
      char* target = static_cast<char*>(to) + begin * to_stride * to_size;
      if constexpr (std::is_same_v<From, uint64_t>) {
        // The upper half of uint64 is negative in int64: right for integers, not for floats.
        if (is_floating(to_dtype)) {
          double wide[kBlock];
          for (int64_t i = 0; i < size; ++i) wide[i] = static_cast<double>(static_cast<uint64_t>(block[i]));
          store_middle(wide, target, to_dtype, to_stride, size);
          continue;
        }
      }
      store_middle(block, target, to_dtype, to_stride, size);
    }
  });
}

}  // namespace mica::cpu
