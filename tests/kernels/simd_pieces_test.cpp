// Products by pieces of bfloat16 against float64, in every orientation and at sizes that fill no tile; the same bits
// for any threads and whatever other rows there are.

#include <cfloat>
#include <cmath>

#include "mica/kernels/cpu/simd/pieces.h"
#include "mica/kernels/dtype.h"
#include "mica/tests/kernels/simd_support.h"

namespace mica {
namespace {

using cpu::simd::PieceProduct;

struct Sizes {
  int64_t rows, columns, depth;
};
constexpr Sizes kSizes[] = {{1, 1, 1},    {16, 16, 32},  {17, 33, 31},   {5, 40, 65},   {64, 48, 96},
                            {33, 70, 70}, {40, 19, 800}, {130, 21, 256}, {3, 300, 1600}};

// A product whose factors lie as asked, with gaps between their rows.
struct Factors {
  Sizes size;
  std::vector<float> a, b, c, bias;
  PieceProduct product;

  Factors(Sizes s, bool transpose_a, bool transpose_b) : size(s) {
    const auto store = [](std::vector<float>& data, int64_t rows, int64_t columns, uint32_t seed) {
      data = random_floats(rows * (columns + 3), seed);
      return columns + 3;
    };
    const int64_t a_stride = transpose_a ? store(a, s.depth, s.rows, 1) : store(a, s.rows, s.depth, 1);
    const int64_t b_stride = transpose_b ? store(b, s.columns, s.depth, 2) : store(b, s.depth, s.columns, 2);
    const int64_t c_stride = store(c, s.rows, s.columns, 3);
    bias = random_floats(s.columns, 4);
    product = {.a = a.data(),
               .a_row = transpose_a ? 1 : a_stride,
               .a_depth = transpose_a ? a_stride : 1,
               .b = b.data(),
               .b_depth = transpose_b ? 1 : b_stride,
               .b_column = transpose_b ? b_stride : 1,
               .c = c.data(),
               .c_row = c_stride,
               .rows = s.rows,
               .columns = s.columns,
               .depth = s.depth};
  }
};

double rounded(float x) {
  return static_cast<double>(static_cast<float>(bfloat16(x)));
}

void expect_product(Factors f, int pieces, bool add, bool with_bias) {
  PieceProduct p = f.product;
  p.add = add;
  p.bias = with_bias ? f.bias.data() : nullptr;
  const std::vector<float> before = f.c;
  cpu::simd::multiply_pieces(p, pieces);
  for (int64_t i = 0; i < p.rows; ++i) {
    for (int64_t j = 0; j < p.c_row; ++j) {
      const auto at = static_cast<size_t>(i * p.c_row + j);
      if (j >= p.columns) {
        ASSERT_EQ(f.c[at], before[at]) << "written between rows";
        continue;
      }
      double exact = (add ? double{before[at]} : 0) + (with_bias ? double{f.bias[static_cast<size_t>(j)]} : 0);
      double magnitude = std::abs(exact);
      for (int64_t k = 0; k < p.depth; ++k) {
        const float x = p.a[i * p.a_row + k * p.a_depth], y = p.b[k * p.b_depth + j * p.b_column];
        const double term = pieces == 1 ? rounded(x) * rounded(y) : double{x} * double{y};
        exact += term;
        magnitude += std::abs(term);
      }
      // Of a chain of float32 additions; three pieces leave out less than one rounding of each term, and add each term
      // in six parts, five of which are small.
      const double bound = static_cast<double>(p.depth + 4) * FLT_EPSILON / 2 * magnitude;
      ASSERT_NEAR(f.c[at], exact, bound) << pieces << " pieces, " << p.rows << "x" << p.columns << "x" << p.depth
                                         << " at " << i << ", " << j;
    }
  }
}

TEST(SimdPieces, MatchesDouble) {
  for (const int pieces : {1, 3}) {
    if (!cpu::simd::multiplies_pieces(pieces)) continue;
    for (const Sizes& size : kSizes) {
      for (const int orientation : {0, 1, 2, 3}) {
        expect_product(Factors(size, (orientation & 1) != 0, (orientation & 2) != 0), pieces, orientation == 1,
                       orientation > 1);
      }
    }
  }
}

// Three pieces are no worse than a chain of float32: on sums without cancellation the error is that of its roundings.
TEST(SimdPieces, ThreePiecesKeepEveryBit) {
  if (!cpu::simd::multiplies_pieces(3)) GTEST_SKIP() << "no matrix unit";
  const std::vector<float> numbers = {1.0F / 3, -0x1.fffffep0F, 0x1.000002p-20F, FLT_MAX, -FLT_MAX, 0x1.fffffep60F};
  for (const float x : numbers) {
    float one = 1, result = 0;
    cpu::simd::multiply_pieces(
        {.a = &x, .a_row = 1, .b = &one, .b_depth = 1, .c = &result, .c_row = 1, .rows = 1, .columns = 1, .depth = 1},
        3);
    EXPECT_EQ(result, x);
    cpu::simd::multiply_pieces(
        {.a = &one, .a_row = 1, .b = &x, .b_depth = 1, .c = &result, .c_row = 1, .rows = 1, .columns = 1, .depth = 1},
        3);
    EXPECT_EQ(result, x);
  }
}

TEST(SimdPieces, InfinityAndNanReachTheResult) {
  for (const int pieces : {1, 3}) {
    if (!cpu::simd::multiplies_pieces(pieces)) continue;
    Factors f({20, 20, 40}, false, true);
    f.a[0] = INFINITY;
    f.a[static_cast<size_t>(f.product.a_row)] = NAN;
    f.product.a = f.a.data();
    f.product.c = f.c.data();
    cpu::simd::multiply_pieces(f.product, pieces);
    for (int64_t j = 0; j < 20; ++j) {
      EXPECT_FALSE(std::isfinite(f.c[static_cast<size_t>(j)]));
      EXPECT_TRUE(std::isnan(f.c[static_cast<size_t>(f.product.c_row + j)]));
      EXPECT_TRUE(std::isfinite(f.c[static_cast<size_t>(2 * f.product.c_row + j)]));
    }
  }
}

TEST(SimdPieces, ThreadsAndOtherRowsChangeNothing) {
  for (const int pieces : {1, 3}) {
    if (!cpu::simd::multiplies_pieces(pieces)) continue;
    for (const bool transposed : {false, true}) {
      Factors whole({300, 70, 900}, transposed, !transposed);
      cpu::simd::multiply_pieces(whole.product, pieces);
      const std::vector<float> alone = whole.c;
      for_thread_counts([&] {
        cpu::simd::multiply_pieces(whole.product, pieces);
        EXPECT_EQ(whole.c, alone);
      });
      PieceProduct some = whole.product;
      some.rows = 7;
      some.a += 40 * some.a_row;
      std::vector<float> few(static_cast<size_t>(7 * some.c_row));
      some.c = few.data();
      cpu::simd::multiply_pieces(some, pieces);
      for (int64_t i = 0; i < 7 * some.c_row; ++i) {
        if (i % some.c_row >= some.columns) continue;
        ASSERT_EQ(few[static_cast<size_t>(i)], alone[static_cast<size_t>(40 * some.c_row + i)]);
      }
    }
  }
}

}  // namespace
}  // namespace mica
