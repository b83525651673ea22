#include "mica/kernels/dtype.h"

#include <cmath>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/kernels/device.h"

namespace mica {
namespace {

// A 16-bit float read bit by bit.
double read_half(unsigned bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  double fraction = 0;
  for (int i = 0; i < mantissa_bits; ++i) {
    if ((bits >> i) & 1U) fraction += std::ldexp(1.0, i - mantissa_bits);
  }
  const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1U << exponent_bits) - 1));
  const double sign = (bits >> 15) & 1U ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction == 0 ? sign * INFINITY : NAN;
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias) : sign * std::ldexp(1 + fraction, exponent - bias);
}

template <typename Half>
void check_all_bits(int exponent_bits, int mantissa_bits) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    Half half;
    half.bits = static_cast<uint16_t>(bits);
    const auto value = static_cast<float>(half);
    const double expected = read_half(bits, exponent_bits, mantissa_bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(static_cast<float>(Half(value)))) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), expected) << bits;
    ASSERT_EQ(std::signbit(value), std::signbit(expected)) << bits;
    ASSERT_EQ(Half(value).bits, bits);
  }
}

// Around the middle of every two neighbours: below it goes down, above it up, on it to the even one.
template <typename Half>
void check_rounding(unsigned infinity, int exponent_bits, int mantissa_bits) {
  for (unsigned bits = 0; bits + 1 < infinity; ++bits) {
    const double low = read_half(bits, exponent_bits, mantissa_bits);
    const double high = read_half(bits + 1, exponent_bits, mantissa_bits);
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(static_cast<double>(middle), (low + high) / 2);
    for (const float sign : {1.0F, -1.0F}) {
      const unsigned sign_bit = sign < 0 ? 0x8000U : 0U;
      ASSERT_EQ(Half(sign * middle).bits, ((bits & 1U) != 0 ? bits + 1 : bits) | sign_bit) << bits;
      ASSERT_EQ(Half(sign * std::nextafter(middle, 0.0F)).bits, bits | sign_bit) << bits;
      ASSERT_EQ(Half(sign * std::nextafter(middle, INFINITY)).bits, (bits + 1) | sign_bit) << bits;
    }
  }
}

TEST(DType, Float16IsReadAndWrittenExactly) {
  check_all_bits<float16>(5, 10);
}
TEST(DType, BFloat16IsReadAndWrittenExactly) {
  check_all_bits<bfloat16>(8, 7);
}
TEST(DType, Float16RoundsToNearestEven) {
  check_rounding<float16>(0x7c00, 5, 10);
}
TEST(DType, BFloat16RoundsToNearestEven) {
  check_rounding<bfloat16>(0x7f80, 8, 7);
}

TEST(DType, OverflowGoesToInfinity) {
  EXPECT_EQ(float16(65519.99F).bits, 0x7bffU);
  EXPECT_EQ(float16(65520.0F).bits, 0x7c00U);
  EXPECT_EQ(float16(-1e30F).bits, 0xfc00U);
  EXPECT_EQ(float16(INFINITY).bits, 0x7c00U);
  EXPECT_EQ(bfloat16(3.4028235e38F).bits, 0x7f80U);
  EXPECT_EQ(bfloat16(-INFINITY).bits, 0xff80U);
}

TEST(DType, NotANumberWithLowBitsStaysSo) {
  const auto quiet = std::bit_cast<float>(0x7f800001U);
  EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(quiet))));
  EXPECT_TRUE(std::isnan(static_cast<float>(float16(quiet))));
}

TEST(DType, EightBitFloats) {
  EXPECT_EQ(float8_e4m3_to_float(0x38), 1.0F);
  EXPECT_EQ(float8_e4m3_to_float(0x7e), 448.0F);
  EXPECT_EQ(float8_e4m3_to_float(0x01), 0x1p-9F);
  EXPECT_TRUE(std::isnan(float8_e4m3_to_float(0xff)));
  EXPECT_EQ(float8_e5m2_to_float(0x3c), 1.0F);
  EXPECT_EQ(float8_e5m2_to_float(0x7b), 57344.0F);
  EXPECT_EQ(float8_e5m2_to_float(0xfc), -INFINITY);
  EXPECT_EQ(float8_e5m2_to_float(0x81), -0x1p-16F);
  // float8_e5m2 is the upper half of float16.
  for (unsigned bits = 0; bits < 256; ++bits) {
    float16 half;
    half.bits = static_cast<uint16_t>(bits << 8);
    const float expected = static_cast<float>(half);
    const float got = float8_e5m2_to_float(static_cast<uint8_t>(bits));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(got));
    } else {
      EXPECT_EQ(got, expected) << bits;
    }
  }
}

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::float8_e5m2); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(name(dtype)), dtype);
    EXPECT_EQ(dtype_from_name("torch." + std::string(name(dtype))), dtype);
  }
  EXPECT_THROW(dtype_from_name("float12"), Error);
}

TEST(Device, NamesRoundTrip) {
  EXPECT_EQ(device_from_string("cpu"), Device{});
  EXPECT_EQ(device_from_string("cuda"), (Device{DeviceType::cuda, 0}));
  EXPECT_EQ(device_from_string(to_string({DeviceType::cuda, 3})), (Device{DeviceType::cuda, 3}));
  for (const char* bad : {"", "cuda:", "cuda:x", "cuda:-1", "cuda:99999", "tpu"}) {
    EXPECT_THROW(device_from_string(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace mica
