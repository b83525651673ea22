#include "mica/kernels/shape.h"

#include <bit>

#include "mica/base/error.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

constexpr int kTypes = static_cast<int>(DType::float8_e5m2) + 1;

bool is_float8(DType dtype) {
  return dtype == DType::float8_e4m3 || dtype == DType::float8_e5m2;
}

// The bytes of one small number (0, 1 or 2, which every dtype but bool holds) as a dtype stores it.
std::vector<uint8_t> encode(DType dtype, int value) {
  const auto bytes_of = [](auto x) {
    const auto raw = std::bit_cast<std::array<uint8_t, sizeof(x)>>(x);
    return std::vector<uint8_t>(raw.begin(), raw.end());
  };
  switch (dtype) {
    case DType::float32:
      return bytes_of(static_cast<float>(value));
    case DType::float64:
      return bytes_of(static_cast<double>(value));
    case DType::float16:
      return bytes_of(float16(static_cast<float>(value)));
    case DType::bfloat16:
      return bytes_of(bfloat16(static_cast<float>(value)));
    case DType::float8_e4m3:
      return {static_cast<uint8_t>(value == 0 ? 0 : value == 1 ? 0x38 : 0x40)};
    case DType::float8_e5m2:
      return {static_cast<uint8_t>(value == 0 ? 0 : value == 1 ? 0x3c : 0x40)};
    case DType::boolean:
      return {static_cast<uint8_t>(value != 0)};
    default: {
      std::vector<uint8_t> bytes(static_cast<size_t>(item_size(dtype)));
      bytes[0] = static_cast<uint8_t>(value);
      return bytes;
    }
  }
}

Array<uint8_t> encode_all(DType dtype, const std::vector<int>& values) {
  std::vector<uint8_t> bytes;
  for (const int v : values) {
    const auto one = encode(dtype, v);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  return Array<uint8_t>({static_cast<int64_t>(bytes.size())}, bytes);
}

View as_dtype(const Array<uint8_t>& bytes, DType dtype, int64_t n, int64_t stride = 1) {
  View view = bytes.view(dtype);
  view.shape[0] = n;
  view.strides[0] = stride;
  return view;
}

TEST(Shape, CopyConvertsEveryPairOfTypes) {
  std::vector<int> values;
  for (int i = 0; i < 600; ++i) values.push_back(i * 7 % 3);
  for (int from = 0; from < kTypes; ++from) {
    for (int to = 0; to < kTypes; ++to) {
      const auto source = static_cast<DType>(from), target = static_cast<DType>(to);
      if (is_float8(target) && source != target) continue;
      const Array<uint8_t> x = encode_all(source, values);
      const auto n = static_cast<int64_t>(values.size());
      const Array<uint8_t> y({n * item_size(target)});
      tested().shape().copy(as_dtype(x, source, n), as_dtype(y, target, n));
      std::vector<int> expected = values;
      if (source == DType::boolean) {
        for (int& v : expected) v = v != 0 ? 1 : 0;
      }
      EXPECT_EQ(y.values(), encode_all(target, expected).values()) << name(source) << " to " << name(target);
      // Every third element, into every second place.
      const Array<uint8_t> sparse = encode_all(target, std::vector<int>(400, 0));
      tested().shape().copy(as_dtype(x, source, 200, 3), as_dtype(sparse, target, 200, 2));
      std::vector<int> spread(400, 0);
      for (size_t i = 0; i < 200; ++i) spread[2 * i] = expected[3 * i];
      EXPECT_EQ(sparse.values(), encode_all(target, spread).values()) << name(source) << " to " << name(target);
    }
  }
}

TEST(Shape, EightBitFloatsAreForReadingOnly) {
  const Array<float> x({1}, {1.0F});
  const Array<uint8_t> y({1});
  EXPECT_THROW(tested().shape().copy(x.view(), y.view(DType::float8_e4m3)), Error);
  EXPECT_THROW(tested().shape().fill(y.view(DType::float8_e5m2), 1), Error);
}

template <typename To, typename From>
std::vector<To> converted(const std::vector<From>& values, DType to = dtype_of<To>()) {
  const auto n = static_cast<int64_t>(values.size());
  const Array<From> x({n}, values);
  const Array<To> y({n});
  tested().shape().copy(x.view(), y.view(to));
  return y.values();
}

TEST(Shape, FloatsTruncateTowardsZeroAndNeverTrap) {
  EXPECT_EQ((converted<int64_t, double>({1.9, -1.9, 0.5, -0.5, 1e300, -1e300, NAN})),
            (std::vector<int64_t>{1, -1, 0, 0, INT64_MAX, INT64_MIN, 0}));
  EXPECT_EQ((converted<int32_t, float>({2.7F, -2.7F})), (std::vector<int32_t>{2, -2}));
  EXPECT_EQ((converted<uint8_t, float>({255.9F, 0.0F})), (std::vector<uint8_t>{255, 0}));
  EXPECT_EQ((converted<uint8_t, float>({0.1F, 0.0F, -0.0F, NAN, 5.0F}, DType::boolean)),
            (std::vector<uint8_t>{1, 0, 0, 1, 1}));
  EXPECT_EQ((converted<uint64_t, double>({0x1.8p63, 1e30})), (std::vector<uint64_t>{uint64_t{3} << 62, UINT64_MAX}));
}

TEST(Shape, LargeIntegersKeepTheirBits) {
  const std::vector<int64_t> large{INT64_MAX, INT64_MIN, (int64_t{1} << 53) + 1, -1};
  EXPECT_EQ((converted<uint64_t, int64_t>(large)),
            (std::vector<uint64_t>{INT64_MAX, uint64_t{1} << 63, (uint64_t{1} << 53) + 1, UINT64_MAX}));
  EXPECT_EQ((converted<int32_t, int64_t>({int64_t{5} - (int64_t{1} << 40)})), (std::vector<int32_t>{5}));
  EXPECT_EQ((converted<double, uint64_t>({UINT64_MAX, uint64_t{1} << 63})), (std::vector<double>{0x1p64, 0x1p63}));
  // One rounding, not two: 2^60 + 2^36 + 1 lies just above the middle of two floats.
  EXPECT_EQ((converted<float, int64_t>({(int64_t{1} << 60) + (int64_t{1} << 36) + 1})),
            (std::vector<float>{0x1.000002p60F}));
}

TEST(Shape, DoublesRoundOnceToHalves) {
  // Just above the middle of 1 and its neighbour: rounded to float first, it would lie on the middle and go down.
  const double above = 1 + 0x1p-11 + 0x1p-40;
  const double below = 1 + 3 * 0x1p-11 - 0x1p-40;
  const auto half = converted<float16, double>({above, below, -above, 1e300, 0.0});
  EXPECT_EQ(half[0].bits, float16(1 + 0x1p-10F).bits);
  EXPECT_EQ(half[1].bits, float16(1 + 0x1p-10F).bits);
  EXPECT_EQ(half[2].bits, float16(-1 - 0x1p-10F).bits);
  EXPECT_EQ(half[3].bits, 0x7c00U);
  EXPECT_EQ(half[4].bits, 0U);
  const auto brain = converted<bfloat16, double>({1 + 0x1p-8 + 0x1p-40, NAN});
  EXPECT_EQ(brain[0].bits, bfloat16(1 + 0x1p-7F).bits);
  EXPECT_TRUE(std::isnan(static_cast<float>(brain[1])));
}

TEST(Shape, CopyFollowsStrides) {
  // x [2, 3, 4] seen as [4, 2, 3], broadcast once more in front.
  const Array<float> x = array<float>({2, 3, 4}, numbers(24, 1));
  View seen = x.view();
  seen.rank = 4;
  seen.shape = {2, 4, 2, 3};
  seen.strides = {0, 1, 12, 4};
  const Array<double> y({2, 4, 2, 3});
  tested().shape().copy(seen, y.view());
  const auto in = x.values();
  const auto out = y.values();
  for (size_t r = 0, at = 0; r < 2; ++r) {
    for (size_t i = 0; i < 4; ++i) {
      for (size_t j = 0; j < 2; ++j) {
        for (size_t k = 0; k < 3; ++k) EXPECT_EQ(out[at++], static_cast<double>(in[j * 12 + k * 4 + i]));
      }
    }
  }
}

TEST(Shape, CopyIntoASlice) {
  const Array<int32_t> y({4, 5}, std::vector<int32_t>(20, 0));
  const Array<int32_t> x({2, 2}, {1, 2, 3, 4});
  View slice = y.view();
  slice.data = y.view().as<int32_t>() + 6;
  slice.shape[0] = 2;
  slice.shape[1] = 2;
  tested().shape().copy(x.view(), slice);
  std::vector<int32_t> expected(20, 0);
  expected[6] = 1, expected[7] = 2, expected[11] = 3, expected[12] = 4;
  EXPECT_EQ(y.values(), expected);
}

TEST(Shape, NegativeStridesReverse) {
  const Array<float> x({3}, {1, 2, 3}), y({3});
  View reversed = x.view();
  reversed.data = reversed.as<float>() + 2;
  reversed.strides[0] = -1;
  tested().shape().copy(reversed, y.view());
  EXPECT_EQ(y.values(), (std::vector<float>{3, 2, 1}));
}

TEST(Shape, EdgeSizes) {
  const Array<float> none({0, 4}), one({}, {5.0F}), y({1, 1});
  tested().shape().copy(none.view(), none.view());
  tested().shape().fill(none.view(), 1);
  View scalar = one.view();
  scalar.rank = 2;
  scalar.shape = {1, 1};
  scalar.strides = {0, 0};
  tested().shape().copy(scalar, y.view());
  EXPECT_EQ(y.values()[0], 5.0F);
}

TEST(Shape, LongCopiesAreWhole) {
  const int64_t n = 100001;
  const Array<float> x = array<float>({n}, numbers(n, 3)), y({n});
  tested().shape().copy(x.view(), y.view());
  EXPECT_EQ(x.values(), y.values());
  View sparse = x.view();
  sparse.shape[0] = n / 2;
  sparse.strides[0] = 2;
  const Array<double> z({n / 2});
  tested().shape().copy(sparse, z.view());
  const auto in = x.values();
  const auto out = z.values();
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], static_cast<double>(in[2 * i]));
}

TEST(Shape, RowsArePutWhereTheIndexSays) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    std::vector<T> values;
    for (int i = 0; i < 3 * 2 * 8; ++i) values.push_back(static_cast<T>(i));
    const Array<T> x({3, 2, 8}, values), y({7, 2, 4});
    tested().shape().fill(y.view(), 0);
    View narrow = x.view();  // the second half of each head
    narrow.data = narrow.as<char>() + 4 * sizeof(T);
    narrow.shape[2] = 4;
    tested().shape().put_rows(narrow, Array<int64_t>({3}, {5, 0, 2}).view(), y.view());
    const std::vector<T> out = y.values();
    std::vector<T> wanted(7 * 8);
    for (size_t row = 0; row < 3; ++row) {
      for (size_t k = 0; k < 8; ++k) {
        const size_t to = row == 0 ? 5 : row == 1 ? 0 : 2;
        wanted[to * 8 + k] = static_cast<T>(row * 16 + k / 4 * 8 + 4 + k % 4);
      }
    }
    EXPECT_EQ(out, wanted);
  };
  check(float{});
  check(double{});
  check(uint8_t{});
}

TEST(Shape, FillAndArange) {
  const Array<bfloat16> half({3, 2});
  tested().shape().fill(half.view(), -2.5);
  for (const bfloat16 v : half.values()) EXPECT_EQ(static_cast<float>(v), -2.5F);
  const Array<int64_t> wide({70000});
  tested().shape().fill(wide.view(), -3);
  EXPECT_EQ(wide.values(), std::vector<int64_t>(70000, -3));
  const Array<uint8_t> flags({4});
  tested().shape().fill(flags.boolean(), 7);
  EXPECT_EQ(flags.values(), std::vector<uint8_t>(4, 1));
  const Array<int64_t> steps({4});
  tested().shape().arange(5, -2, steps.view());
  EXPECT_EQ(steps.values(), (std::vector<int64_t>{5, 3, 1, -1}));
  const Array<float> fractions({3});
  tested().shape().arange(0, 0.25, fractions.view());
  EXPECT_EQ(fractions.values(), (std::vector<float>{0, 0.25F, 0.5F}));
}

}  // namespace
}  // namespace mica
