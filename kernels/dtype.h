#pragma once
// Element types, and the 16-bit floating formats as value types.

#include <bit>
#include <cstdint>
#include <string_view>

namespace mica {

enum class DType : uint8_t {
  float32,
  float16,
  bfloat16,
  float64,
  int64,
  int32,
  int16,
  uint8,
  int8,
  boolean,
  // Storage types: files hold them; they are converted before anything computes on them.
  uint16,
  uint32,
  uint64,
  float8_e4m3,
  float8_e5m2,
};

/// Bytes of one element.
constexpr int64_t item_size(DType dtype) {
  switch (dtype) {
    case DType::float64:
    case DType::int64:
    case DType::uint64:
      return 8;
    case DType::float32:
    case DType::int32:
    case DType::uint32:
      return 4;
    case DType::float16:
    case DType::bfloat16:
    case DType::int16:
    case DType::uint16:
      return 2;
    default:
      return 1;
  }
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float16 || dtype == DType::bfloat16 || dtype == DType::float64 ||
         dtype == DType::float8_e4m3 || dtype == DType::float8_e5m2;
}

/// The name as torch spells it: "float32", "bool", ...
std::string_view name(DType dtype);
/// The inverse of name(); also takes a leading "torch." Throws Error for an unknown name.
DType dtype_from_name(std::string_view name);

/// bfloat16: the upper half of a float32. Conversion rounds to nearest even; NaN stays NaN.
struct bfloat16 {
  uint16_t bits = 0;
  bfloat16() = default;
  explicit bfloat16(float value) {
    const auto u = std::bit_cast<uint32_t>(value);
    bits = static_cast<uint16_t>((u & 0x7fffffffU) > 0x7f800000U ? (u >> 16) | 0x40U
                                                                 : (u + 0x7fffU + ((u >> 16) & 1U)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

/// IEEE binary16. Conversion rounds to nearest even.
struct float16 {
  uint16_t bits = 0;
  float16() = default;
  explicit float16(float value);
  explicit operator float() const;
};

/// The two 8-bit formats of files, widened exactly.
float float8_e4m3_to_float(uint8_t bits);
float float8_e5m2_to_float(uint8_t bits);

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::float32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::float64;
}
template <>
constexpr DType dtype_of<float16>() {
  return DType::float16;
}
template <>
constexpr DType dtype_of<bfloat16>() {
  return DType::bfloat16;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::int64;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::int32;
}
template <>
constexpr DType dtype_of<int16_t>() {
  return DType::int16;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::uint8;
}
template <>
constexpr DType dtype_of<int8_t>() {
  return DType::int8;
}
template <>
constexpr DType dtype_of<bool>() {
  return DType::boolean;
}
template <>
constexpr DType dtype_of<uint16_t>() {
  return DType::uint16;
}
template <>
constexpr DType dtype_of<uint32_t>() {
  return DType::uint32;
}
template <>
constexpr DType dtype_of<uint64_t>() {
  return DType::uint64;
}

}  // namespace mica
