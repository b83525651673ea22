#include "mica/kernels/random.h"

#include <numbers>

#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

// Known answers of the Random123 distribution (Salmon et al.).
static_assert(philox({0, 0, 0, 0}, 0) == std::array<uint32_t, 4>{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U});
static_assert(philox({~0U, ~0U, ~0U, ~0U}, ~uint64_t{0}) ==
              std::array<uint32_t, 4>{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU});
static_assert(philox({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}, 0x299f31d0a4093822U) ==
              std::array<uint32_t, 4>{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U});

TEST(Random, WordsAreLanesOfBlocks) {
  const auto block = philox({5, 0, 9, 1}, 77);
  for (uint64_t lane = 0; lane < 4; ++lane) {
    EXPECT_EQ(philox_word(77, 9 + (uint64_t{1} << 32), 20 + lane), block[lane]);
  }
  EXPECT_EQ(uniform_from_word(0), 0.0F);
  EXPECT_LT(uniform_from_word(~0U), 1.0F);
}

TEST(Random, UniformIsItsWords) {
  for (const int64_t n : {0, 1, 3, 4, 5, 1000, 1027}) {
    const Array<double> y({n});
    tested().random().uniform(11, 3, -2, 6, y.view());
    const std::vector<double> got = y.values();
    for (int64_t i = 0; i < n; ++i) {
      const double u = static_cast<double>(uniform_from_word(philox_word(11, 3, static_cast<uint64_t>(i))));
      EXPECT_DOUBLE_EQ(got[static_cast<size_t>(i)], -2 + 8 * u);
    }
  }
}

TEST(Random, EveryFloatingTypeHoldsTheSameNumbersRounded) {
  const int64_t n = 301;
  const Array<double> wide({n});
  const Array<float> single({n});
  const Array<bfloat16> half({n});
  tested().random().normal(5, 0, 1, 2, wide.view());
  tested().random().normal(5, 0, 1, 2, single.view());
  tested().random().normal(5, 0, 1, 2, half.view());
  const auto exact = wide.values();
  expect_close(single.values(), exact, kEpsilon<float>, 0);
  expect_close(cast<float>(half.values()), exact, 0x1p-8, 0);
}

TEST(Random, NormalIsBoxMullerOfPairs) {
  const int64_t n = 7;
  const Array<double> y({n});
  tested().random().normal(1, 2, 0.5, 3, y.view());
  const auto got = y.values();
  for (uint64_t pair = 0; 2 * pair < static_cast<uint64_t>(n); ++pair) {
    const double u = static_cast<double>(uniform_from_word(philox_word(1, 2, 2 * pair)));
    const double v = static_cast<double>(uniform_from_word(philox_word(1, 2, 2 * pair + 1)));
    const double radius = std::sqrt(-2 * std::log(1 - u));
    EXPECT_NEAR(got[2 * pair], 0.5 + 3 * radius * std::cos(2 * std::numbers::pi * v), 1e-12);
    if (2 * pair + 1 < static_cast<uint64_t>(n)) {
      EXPECT_NEAR(got[2 * pair + 1], 0.5 + 3 * radius * std::sin(2 * std::numbers::pi * v), 1e-12);
    }
  }
}

TEST(Random, NormalHasItsMoments) {
  const int64_t n = 200000;
  const Array<float> y({n});
  tested().random().normal(42, 0, 0, 1, y.view());
  double sum = 0, squares = 0, fourths = 0;
  for (const float v : y.values()) {
    const auto x = static_cast<double>(v);
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  const auto count = static_cast<double>(n);
  // Five standard errors: sqrt(1/n), sqrt(2/n), sqrt(96/n).
  EXPECT_NEAR(sum / count, 0, 5 * std::sqrt(1 / count));
  EXPECT_NEAR(squares / count, 1, 5 * std::sqrt(2 / count));
  EXPECT_NEAR(fourths / count, 3, 5 * std::sqrt(96 / count));
}

TEST(Random, DropoutDropsByTheUniformNumbers) {
  const int64_t n = 1001;
  const Array<float> x({n}, std::vector<float>(static_cast<size_t>(n), 3.0F));
  const Array<float> y({n});
  tested().random().dropout({0.25, 9, 8}, x.view(), {}, y.view());
  const auto got = y.values();
  int dropped = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const bool keep = uniform_from_word(philox_word(9, 8, i)) >= 0.25F;
    dropped += keep ? 0 : 1;
    EXPECT_EQ(got[i], keep ? 4.0F : 0.0F) << i;
  }
  EXPECT_NEAR(dropped, 250, 70);
  tested().random().dropout({0, 9, 8}, x.view(), {}, y.view());
  EXPECT_EQ(y.values(), x.values());
  tested().random().dropout({0.25, 9, 8}, x.view(), {}, x.view());
  EXPECT_EQ(x.values(), got);
}

TEST(Random, DoesNotDependOnThreads) {
  expect_same_for_any_threads<float>([] {
    const Array<float> y({50001});
    tested().random().normal(3, 1, 0, 1, y.view());
    return y.values();
  });
}

}  // namespace
}  // namespace mica
