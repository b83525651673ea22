#include "mica/kernels/dtype.h"

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "mica/base/error.h"

namespace mica {
namespace {

constexpr std::array<std::pair<DType, std::string_view>, 15> kNames{{
    {DType::float32, "float32"},
    {DType::float16, "float16"},
    {DType::bfloat16, "bfloat16"},
    {DType::float64, "float64"},
    {DType::int64, "int64"},
    {DType::int32, "int32"},
    {DType::int16, "int16"},
    {DType::uint8, "uint8"},
    {DType::int8, "int8"},
    {DType::boolean, "bool"},
    {DType::uint16, "uint16"},
    {DType::uint32, "uint32"},
    {DType::uint64, "uint64"},
    {DType::float8_e4m3, "float8_e4m3fn"},
    {DType::float8_e5m2, "float8_e5m2"},
}};

// A small float with `exponent_bits` and `mantissa_bits`, as a float. Exact: float32 holds every such value.
float widen(unsigned bits, int exponent_bits, int mantissa_bits, bool has_infinity) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const unsigned mantissa = bits & ((1U << mantissa_bits) - 1);
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const bool negative = ((bits >> (exponent_bits + mantissa_bits)) & 1U) != 0;
  const float fraction = std::ldexp(static_cast<float>(mantissa), -mantissa_bits);
  float value = 0;
  if (has_infinity && exponent == (1 << exponent_bits) - 1) {
    value = mantissa == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    value = std::ldexp(fraction, 1 - bias);
  } else {
    value = std::ldexp(1 + fraction, exponent - bias);
  }
  return negative ? -value : value;
}

}  // namespace

std::string_view name(DType dtype) {
  for (const auto& [type, text] : kNames) {
    if (type == dtype) return text;
  }
  return "?";
}

DType dtype_from_name(std::string_view text) {
  if (text.starts_with("torch.")) text.remove_prefix(6);
  for (const auto& [type, known] : kNames) {
    if (known == text) return type;
  }
  throw Error("unknown dtype \"" + printable(text) + "\"", "dtype", "use float32, bfloat16, float16 or float64");
}

float16::float16(float value) {
  const auto u = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (u >> 16) & 0x8000U;
  const uint32_t magnitude = u & 0x7fffffffU;
  if (magnitude > 0x7f800000U) {
    bits = static_cast<uint16_t>(sign | 0x7e00U);
  } else if (magnitude >= 0x477ff000U) {  // rounds to 65536 or more
    bits = static_cast<uint16_t>(sign | 0x7c00U);
  } else if (magnitude < 0x38800000U) {  // subnormal in half precision: let the float unit round at 2^-24
    const float scaled = std::bit_cast<float>(magnitude) + std::bit_cast<float>(0x3f000000U);
    bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(scaled) - 0x3f000000U));
  } else {
    const uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
    bits = static_cast<uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
  }
}

float16::operator float() const {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t magnitude = bits & 0x7fffU;
  if (magnitude >= 0x7c00U) return std::bit_cast<float>(sign | 0x7f800000U | ((magnitude & 0x3ffU) << 13));
  // Shifted into place, a half is a float whose exponent is too small by 112, subnormals included.
  const float value = std::bit_cast<float>(magnitude << 13) * std::bit_cast<float>(0x77800000U);  // 2^112
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

float float8_e4m3_to_float(uint8_t bits) {
  if ((bits & 0x7fU) == 0x7fU) return NAN;  // the "fn" format: no infinities, one NaN
  return widen(bits, 4, 3, false);
}

float float8_e5m2_to_float(uint8_t bits) {
  return widen(bits, 5, 2, true);
}

}  // namespace mica
