// Rows in 8 bits: what is read back, against the bound that the header states, and against the formula.

#include "mica/kernels/quantize.h"

#include "mica/tests/kernels/simd_support.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

struct Sizes {
  int64_t rows, heads, size, group;
};

// Groups that divide a vector, that don't, that are longer than it, and of one element; none at all.
constexpr Sizes kSizes[] = {{3, 2, 64, 32}, {5, 3, 128, 64}, {2, 4, 96, 64}, {7, 1, 8, 64},
                            {3, 2, 40, 16}, {4, 2, 33, 5},   {2, 2, 3, 1},   {0, 2, 16, 8}};

struct Rounded {
  std::vector<int8_t> q;
  std::vector<float> scales;
  std::vector<double> read;
};

template <typename T>
Rounded through(const Sizes& s, const std::vector<double>& x) {
  std::vector<T> narrow;
  for (const double v : x) {
    if constexpr (std::is_same_v<T, double>) {
      narrow.push_back(v);
    } else {
      narrow.push_back(T(static_cast<float>(v)));
    }
  }
  const int64_t groups = (s.size + s.group - 1) / s.group;
  const Array<T> in({s.rows, s.heads, s.size}, narrow), out({s.rows, s.heads, s.size});
  const Array<int8_t> q({s.rows, s.heads, s.size});
  const Array<float> scales({s.rows, s.heads, groups});
  tested().quantize().quantize(in.view(), s.group, q.view(), scales.view());
  tested().quantize().dequantize(q.view(), scales.view(), s.group, out.view());
  Rounded result{q.values(), scales.values(), {}};
  for (const T& v : out.values()) {
    if constexpr (std::is_same_v<T, double>) {
      result.read.push_back(v);
    } else {
      result.read.push_back(static_cast<double>(static_cast<float>(v)));
    }
  }
  return result;
}

// Numbers of very different sizes from group to group.
template <typename T>
std::vector<double> some(const Sizes& s) {
  std::vector<double> x = numbers(s.rows * s.heads * s.size, 3);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] *= std::ldexp(1.0, static_cast<int>(i / 7 % 9) * 2 - 8);
    if constexpr (!std::is_same_v<T, double>) {
      x[i] = static_cast<double>(static_cast<float>(T(static_cast<float>(x[i]))));
    }
  }
  return x;
}

// `unit`: what rounding to the dtype may add, of the element, and at least `least`.
template <typename T>
void expect_bound(const Sizes& s, double unit, double least = 0) {
  const std::vector<double> x = some<T>(s);
  const Rounded have = through<T>(s, x);
  const int64_t groups = (s.size + s.group - 1) / s.group;
  for (int64_t vector = 0; vector < s.rows * s.heads; ++vector) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = vector * s.size + g * s.group;
      const int64_t count = std::min(s.group, s.size - g * s.group);
      double most = 0;
      for (int64_t i = first; i < first + count; ++i) most = std::max(most, std::abs(x[static_cast<size_t>(i)]));
      const double scale = static_cast<double>(have.scales[static_cast<size_t>(vector * groups + g)]);
      ASSERT_NEAR(scale, most / 127, 0x1p-23 * most / 127);
      for (int64_t i = first; i < first + count; ++i) {
        const auto at = static_cast<size_t>(i);
        const double bound =
            std::max((0.5 + 0x1p-14) * scale, 0x1p-119) + std::max(least, unit * std::abs(have.read[at]));
        ASSERT_LE(std::abs(have.read[at] - x[at]), bound) << at << " of " << s.size << " by " << s.group;
        ASSERT_LE(std::abs(static_cast<int>(have.q[at])), 127);
      }
    }
  }
}

TEST(Quantize, ErrorsAreWithinTheBound) {
  for_each_target([] {
    for (const Sizes& sizes : kSizes) expect_bound<float>(sizes, 0);
  });
  for (const Sizes& sizes : kSizes) expect_bound<double>(sizes, 0);
}

TEST(Quantize, NarrowRowsAreWithinTheBoundAndTheirRounding) {
  for (const Sizes& sizes : kSizes) {
    expect_bound<float16>(sizes, 0x1p-11, 0x1p-25);
    expect_bound<bfloat16>(sizes, 0x1p-8);
  }
}

TEST(Quantize, RoundsToNearestEven) {
  const Sizes sizes{1, 1, 8, 8};
  const Rounded have = through<float>(sizes, {127, -127, 0.5, 1.5, -2.5, 63.25, -0.75, 0});
  EXPECT_EQ(have.scales, std::vector<float>{1});
  EXPECT_EQ(have.q, (std::vector<int8_t>{127, -127, 0, 2, -2, 63, -1, 0}));
  EXPECT_EQ(have.read, (std::vector<double>{127, -127, 0, 2, -2, 63, -1, 0}));
}

TEST(Quantize, ZerosTinyAndNotFiniteGroups) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const Rounded have = through<float>(
      {1, 5, 4, 4}, {0, 0, 0, 0, 0x1p-130, -0x1p-120, 0, 0x1p-149, 1, inf, 2, 3, nan, 1, 1, 1, 3e38, -3e38, 1e38, 0});
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(have.read[i], 0) << i;
  for (size_t i = 8; i < 16; ++i) EXPECT_TRUE(std::isnan(have.read[i])) << i;
  for (size_t i = 16; i < 20; ++i) EXPECT_TRUE(std::isfinite(have.read[i])) << i;
  EXPECT_NEAR(have.read[17], -3e38, 3e38 / 254);
}

TEST(Quantize, DoesNotDependOnThreads) {
  expect_same_for_any_threads<double>([] {
    return through<float>({300, 4, 96, 64}, some<float>({300, 4, 96, 64})).read;
  });
}

// What a text's rows become does not depend on the others of the call.
TEST(Quantize, DoesNotDependOnOtherRows) {
  const Sizes all{6, 2, 40, 32}, one{1, 2, 40, 32};
  const std::vector<double> x = some<float>(all);
  const Rounded whole = through<float>(all, x);
  for (int64_t row = 0; row < all.rows; ++row) {
    const auto begin = static_cast<std::ptrdiff_t>(row * 80);
    const Rounded alone = through<float>(one, {x.begin() + begin, x.begin() + begin + 80});
    EXPECT_EQ(alone.read, std::vector<double>(whole.read.begin() + begin, whole.read.begin() + begin + 80));
  }
}

}  // namespace
}  // namespace mica
