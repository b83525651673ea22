// Products of float16 and bfloat16, and of mixed dtypes, on devices that compute in them: every orientation and
// alignment, every tail, few rows and many, against float64 within the bound of a float32 sum and one rounding.

#include <algorithm>
#include <tuple>

#include "mica/tests/kernels/linear_support.h"

namespace mica {
namespace {

using namespace test;

constexpr double kSum = 0x1p-23;  // of float32 sums, whose terms a matrix unit may cut off instead of rounding

template <typename T>
class HalfLinearTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (tested().device().is_cpu()) GTEST_SKIP() << "a CPU keeps activations in float32";
  }
};
using Halves = ::testing::Types<float16, bfloat16>;
TYPED_TEST_SUITE(HalfLinearTest, Halves);

// The product's bound, and a rounding to T.
template <typename T>
std::vector<double> stored_bound(const std::vector<double>& want, const std::vector<double>& bound) {
  std::vector<double> out;
  for (size_t i = 0; i < want.size(); ++i) {
    out.push_back(bound[i] + kRounding<T> * (std::abs(want[i]) + bound[i]) + 0x1p-25);
  }
  return out;
}

struct Size {
  int64_t m, n, k;
  int64_t padding;  // elements between rows
};

template <typename T>
void check_matmul(const Size& size, bool transpose_a, bool transpose_b) {
  const auto [m, n, k, padding] = size;
  SCOPED_TRACE(::testing::Message() << m << " x " << n << " x " << k << " + " << padding << ", " << transpose_a << ", "
                                    << transpose_b);
  const auto a = widened(rounded<T>(numbers(m * k, 1))), b = widened(rounded<T>(numbers(n * k, 2)));
  const auto c = widened(rounded<T>(numbers(m * n, 3)));
  const Bounded exact = product(m, n, k, a, b, kSum);
  const Matrix<T> first =
      transpose_a ? Matrix<T>(k, m, flipped(a, m, k), m + padding) : Matrix<T>(m, k, a, k + padding);
  const Matrix<T> second =
      transpose_b ? Matrix<T>(n, k, b, k + padding) : Matrix<T>(k, n, flipped(b, n, k), n + padding);
  const Matrix<T> fresh(m, n, n + padding), added(m, n, c, n + padding);
  tested().linear().matmul(first.view(), transpose_a, second.view(), transpose_b, fresh.view(), 1, 0);
  expect_close(widened(fresh.values()), exact.want, stored_bound<T>(exact.want, exact.bound));
  tested().linear().matmul(first.view(), transpose_a, second.view(), transpose_b, added.view(), -0.5, 1);
  std::vector<double> want;
  for (size_t i = 0; i < c.size(); ++i) want.push_back(-0.5 * exact.want[i] + c[i]);
  expect_close(widened(added.values()), want, stored_bound<T>(want, exact.bound));
}

TYPED_TEST(HalfLinearTest, MatmulInEveryOrientation) {
  // No line aligned; aligned lines with tails of 16 bytes; many depths; large tiles, with and without tails.
  for (const Size& size : {Size{1, 1, 1, 0},
                           {5, 3, 4, 0},
                           {33, 19, 21, 0},
                           {40, 24, 32, 8},
                           {24, 40, 200, 0},
                           {3, 4, 0, 0},
                           {0, 4, 3, 0},
                           {72, 80, 48, 0},
                           {256, 256, 40, 0},
                           {256, 512, 328, 0},
                           {130, 72, 600, 0},
                           {248, 504, 72, 8},
                           {250, 134, 102, 2}}) {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) check_matmul<TypeParam>(size, transpose_a, transpose_b);
    }
  }
  // Lines of 40 elements whose last 3 are no part of the matrix: the last 16 bytes are read in part.
  check_matmul<TypeParam>({37, 37, 37, 3}, false, true);
  check_matmul<TypeParam>({37, 37, 37, 3}, true, false);
}

TYPED_TEST(HalfLinearTest, MatmulBroadcastsBatchesAndFollowsStrides) {
  using T = TypeParam;
  for (const int64_t k : {6, 16}) {
    const int64_t batch = 3, heads = 2, m = 5, n = 8;
    // a is stored [batch, m, heads, k] and read [batch, heads, m, k]; b [heads, k, n] serves every batch.
    const auto a = rounded<T>(numbers(batch * m * heads * k, 1)), b = rounded<T>(numbers(heads * k * n, 2));
    const Array<T> first({batch, m, heads, k}, a), second({1, heads, k, n}, b), c({batch, heads, m, n});
    View va = first.view(), vb = second.view();
    va.shape = {batch, heads, m, k};
    va.strides = {m * heads * k, k, heads * k, 1};
    vb.shape[0] = batch;
    vb.strides[0] = 0;
    tested().linear().matmul(va, false, vb, false, c.view(), 2, 0);
    std::vector<double> want, bound;
    for (int64_t s = 0; s < batch; ++s) {
      for (int64_t h = 0; h < heads; ++h) {
        std::vector<double> part_a, part_b;
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t p = 0; p < k; ++p) {
            part_a.push_back(
                2 * static_cast<double>(static_cast<float>(a[static_cast<size_t>(((s * m + i) * heads + h) * k + p)])));
          }
        }
        for (int64_t j = 0; j < n; ++j) {
          for (int64_t p = 0; p < k; ++p) {
            part_b.push_back(static_cast<double>(static_cast<float>(b[static_cast<size_t>((h * k + p) * n + j)])));
          }
        }
        const Bounded part = product(m, n, k, part_a, part_b, kSum);
        want.insert(want.end(), part.want.begin(), part.want.end());
        bound.insert(bound.end(), part.bound.begin(), part.bound.end());
      }
    }
    expect_close(widened(c.values()), want, stored_bound<T>(want, bound));
  }
}

double gelu(double x) {
  return x / 2 * std::erfc(-x / std::sqrt(2.0));
}

TYPED_TEST(HalfLinearTest, ForwardWithEveryEpilogue) {
  using T = TypeParam;
  for (const auto& [rows, in, out] : {std::tuple<int64_t, int64_t, int64_t>{9, 40, 24}, {16, 21, 13}, {40, 64, 72}}) {
    const auto x = widened(rounded<T>(numbers(rows * in, 1))), w = widened(rounded<T>(numbers(out * in, 2)));
    const auto bias = widened(rounded<T>(numbers(out, 3))), residual = widened(rounded<T>(numbers(rows * out, 4)));
    const auto scale = widened(rounded<T>(numbers(out, 5))), shift = numbers(out, 6);
    const Bounded exact = product(rows, out, in, x, w, kSum);
    const Matrix<T> vx(rows, in, x, in), vw(out, in, w, in), vr(rows, out, residual, out + 8);
    const Array<T> vb({out}, rounded<T>(bias)), vs({out}, rounded<T>(scale));
    const Array<float> vt({out}, rounded<float>(shift));  // parameters may be of another dtype
    for (int options = 0; options < 16; ++options) {
      Epilogue epilogue;
      std::vector<double> want = exact.want, bound = exact.bound;
      if (options & 1) epilogue.bias = vb.view();
      if (options & 2) epilogue.activation = Activation::gelu;
      if (options & 4) epilogue.residual = vr.view();
      if (options & 8) {
        epilogue.norm_weight = vs.view();
        epilogue.norm_bias = vt.view();
        epilogue.norm_eps = 1e-5F;
      }
      for (int64_t i = 0; i < rows; ++i) {
        double mean = 0, variance = 0, most = 0;
        double* row = want.data() + i * out;
        double* error = bound.data() + i * out;
        for (int64_t j = 0; j < out; ++j) {
          if (options & 1) row[j] += bias[static_cast<size_t>(j)];
          error[j] += kSum * std::abs(row[j]);
          if (options & 2) {  // |gelu'| < 1.13
            row[j] = gelu(row[j]);
            error[j] = 1.13 * error[j] + 4 * kSum * std::abs(row[j]) + 0x1p-30;
          }
          if (options & 4) row[j] += residual[static_cast<size_t>(i * out + j)];
          error[j] += kSum * std::abs(row[j]);
          error[j] += kRounding<T> * (std::abs(row[j]) + error[j]) + 0x1p-25;
          most = std::max(most, error[j]);
          mean += row[j] / static_cast<double>(out);
        }
        if ((options & 8) == 0) continue;
        for (int64_t j = 0; j < out; ++j) variance += (row[j] - mean) * (row[j] - mean) / static_cast<double>(out);
        const double rstd = 1 / std::sqrt(variance + static_cast<double>(1e-5F));
        for (int64_t j = 0; j < out; ++j) {
          const auto at = static_cast<size_t>(j);
          const double normal = (row[j] - mean) * rstd;
          row[j] = normal * scale[at] + shift[at];
          // Rounded inputs move the element and the mean by `most` at most, the deviation by as much; the shift is
          // rounded to T, and so is the result.
          error[j] = (2 + std::abs(normal)) * 1.1 * rstd * most + 8 * kSum * (std::abs(normal) + 1) +
                     kRounding<T> * std::abs(shift[at]);
          error[j] += kRounding<T> * (std::abs(row[j]) + error[j]) + 0x1p-25;
        }
      }
      SCOPED_TRACE(::testing::Message() << rows << " rows, options " << options);
      const Matrix<T> y(rows, out, out + 4), z(rows, out, out + 4);
      tested().linear().forward(vx.view(), vw.view(), epilogue, y.view());
      expect_close(widened(y.values()), want, bound);

      PackedWeight packed{nullptr, out, in, tested().linear().packed_dtype(dtype_of<T>())};
      const Array<uint8_t> memory({tested().linear().packed_bytes(out, in, packed.dtype)});
      packed.data = memory.view().data;
      tested().linear().pack(vw.view(), 0, packed);
      tested().linear().forward_packed(vx.view(), packed, epilogue, z.view());
      EXPECT_EQ(widened(z.values()), widened(y.values()));
    }
  }
}

// In float32 where a bfloat16 weight does not ask for more: the rounding of x is part of the product.
template <typename X, typename W>
std::vector<double> as_multiplied(const std::vector<double>& values) {
  constexpr bool kRounded = std::is_same_v<W, bfloat16> && std::is_same_v<X, float>;
  return kRounded ? widened(rounded<bfloat16>(values)) : values;
}

// Forward where x and the weight lie in any way has the bits of forward_packed(), and the right ones.
template <typename X, typename W>
void check_mixed() {
  struct Case {
    int64_t rows, in, out;
  };
  for (const auto& [rows, in, out] : {Case{1, 64, 20}, {3, 300, 35}, {16, 1032, 9}, {17, 48, 40}, {70, 40, 24}}) {
    SCOPED_TRACE(::testing::Message() << name(dtype_of<X>()) << " x " << name(dtype_of<W>()) << ", " << rows
                                      << " rows, " << in << " in, " << out << " out");
    const auto x = widened(rounded<X>(numbers(rows * in, 1))), w = widened(rounded<W>(numbers(out * in, 2)));
    const bool plain = std::is_same_v<X, double> || std::is_same_v<W, double>;
    const Bounded exact = product(rows, out, in, as_multiplied<X, W>(x), w, plain ? 0x1p-52 : kSum);
    PackedWeight packed{nullptr, out, in, dtype_of<W>()};
    const Array<uint8_t> memory({tested().linear().packed_bytes(out, in, packed.dtype)});
    packed.data = memory.view().data;
    tested().linear().pack(Matrix<W>(out, in, w, in).view(), 0, packed);
    const Matrix<X> apart(rows, in, x, in + 1, false, 1), plain_x(rows, in, x, in), y(rows, out, out);
    tested().linear().forward_packed(plain_x.view(), packed, {}, y.view());
    const auto want = widened(y.values());
    expect_close(want, exact.want, stored_bound<X>(exact.want, exact.bound));
    for (const bool transposed : {false, true}) {
      if (transposed && plain) continue;
      for (const int64_t shift : {0, 1}) {
        const Matrix<W> weight(out, in, w, (transposed ? out : in) + 3 * shift, transposed, shift);
        const Matrix<X> z(rows, out, out + shift);
        tested().linear().forward(shift == 1 ? apart.view() : plain_x.view(), weight.view(), {}, z.view());
        EXPECT_EQ(widened(z.values()), want) << transposed << shift;
      }
    }
  }
}

TEST(MixedLinear, ForwardHasTheBitsOfPackedHoweverItLies) {
  if (tested().device().is_cpu()) GTEST_SKIP() << "a CPU keeps activations in float32";
  check_mixed<float, float>();
  check_mixed<float, bfloat16>();
  check_mixed<float, float16>();
  check_mixed<float, double>();
  check_mixed<bfloat16, bfloat16>();
  check_mixed<bfloat16, float>();
  check_mixed<bfloat16, float16>();
  check_mixed<float16, float16>();
  check_mixed<float16, float>();
  check_mixed<float16, bfloat16>();
  check_mixed<double, float>();
}

TYPED_TEST(HalfLinearTest, ARowDoesNotDependOnTheOthers) {
  using T = TypeParam;
  const int64_t rows = 300, in = 104, out = 136;
  const auto x = numbers(rows * in, 1), w = numbers(out * in, 2);
  const Array<T> weight({out, in}, rounded<T>(w));
  const auto forward = [&](int64_t first, int64_t count) {
    const std::vector<double> part(x.begin() + first * in, x.begin() + (first + count) * in);
    const Array<T> y({count, out});
    Epilogue epilogue;
    epilogue.activation = Activation::silu;
    tested().linear().forward(Array<T>({count, in}, rounded<T>(part)).view(), weight.view(), epilogue, y.view());
    return widened(y.values());
  };
  const auto all = forward(0, rows), few = forward(0, 16);
  const auto same = [&](const std::vector<double>& some, const std::vector<double>& base, int64_t first) {
    return std::equal(some.begin(), some.end(), base.begin() + first * out);
  };
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 17}, {100, 64}, {3, 130}}) {
    EXPECT_TRUE(same(forward(first, count), all, first)) << first;
  }
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 1}, {7, 8}, {3, 9}, {14, 2}}) {
    EXPECT_TRUE(same(forward(first, count), few, first)) << first;
  }
}

// Training's products in float32 and float64, on every device.
template <typename T>
class ProductTest : public ::testing::Test {};
TYPED_TEST_SUITE(ProductTest, Floats);

TYPED_TEST(ProductTest, InEveryOrientationWithBiasAndSum) {
  using T = TypeParam;
  for (const Size& size :
       {Size{5, 3, 4, 0}, {40, 24, 32, 8}, {33, 70, 21, 1}, {136, 264, 40, 0}, {24, 20, 52, 0}, {37, 37, 37, 3}}) {
    const auto [m, n, k, padding] = size;
    const auto a = numbers(m * k, 1), b = numbers(n * k, 2), bias = numbers(n, 3), c = numbers(m * n, 4);
    for (const DType factors : {DType::float32, DType::bfloat16}) {
      const bool rounds = std::is_same_v<T, float> && factors == DType::bfloat16;
      // A CPU rounds only where that is faster: then each term is off by 2^-8 twice.
      const bool cpu = tested().device().is_cpu();
      Bounded exact = rounds && !cpu
                          ? product(m, n, k, widened(rounded<bfloat16>(a)), widened(rounded<bfloat16>(b)), kEpsilon<T>)
                          : product(m, n, k, a, b, kEpsilon<T>);
      for (int64_t i = 0; i < m * n && rounds && cpu; ++i) {
        double magnitude = 0;
        for (int64_t p = 0; p < k; ++p) {
          magnitude += std::abs(a[static_cast<size_t>(i / n * k + p)] * b[static_cast<size_t>(i % n * k + p)]);
        }
        exact.bound[static_cast<size_t>(i)] += (0x1p-7 + 0x1p-16) * magnitude;
      }
      for (int options = 0; options < 16; ++options) {
        const bool transpose_a = (options & 1) != 0, transpose_b = (options & 2) != 0, add = (options & 4) != 0;
        SCOPED_TRACE(::testing::Message() << m << " x " << n << " x " << k << ", options " << options);
        const Matrix<T> first =
            transpose_a ? Matrix<T>(k, m, flipped(a, m, k), m + padding) : Matrix<T>(m, k, a, k + padding);
        const Matrix<T> second =
            transpose_b ? Matrix<T>(n, k, b, k + padding) : Matrix<T>(k, n, flipped(b, n, k), n + padding);
        const Matrix<T> result = add ? Matrix<T>(m, n, c, n + padding) : Matrix<T>(m, n, n + padding);
        const Array<T> row({n}, rounded<T>(bias));
        tested().linear().product(first.view(), transpose_a, second.view(), transpose_b,
                                  (options & 8) != 0 ? row.view() : View{}, result.view(), factors, add);
        std::vector<double> want = exact.want;
        for (size_t i = 0; i < want.size(); ++i) {
          if (add) want[i] += c[i];
          if ((options & 8) != 0) want[i] += bias[i % static_cast<size_t>(n)];
        }
        expect_close(widened(result.values()), want, exact.bound);
      }
    }
  }
}

TEST(LinearChain, HasTheBitsOfItsSteps) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    for (const int64_t rows : {3, 40}) {
      const int64_t sizes[] = {24, 40, 24, 16, 33};
      const auto vector = [](int64_t n, uint64_t seed) { return Array<T>({n}, rounded<T>(numbers(n, seed))); };
      const Array<T> x({rows, 24}, rounded<T>(numbers(rows * 24, 1)));
      std::vector<Array<T>> keep;
      std::vector<Array<uint8_t>> memory;
      std::vector<ChainStep> steps;
      std::vector<View> step_by_step;
      View input = x.view();
      for (size_t i = 0; i < 4; ++i) {
        const int64_t in = sizes[i], out = sizes[i + 1];
        PackedWeight packed{nullptr, out, in, tested().linear().packed_dtype(dtype_of<T>())};
        memory.emplace_back(Shape{tested().linear().packed_bytes(out, in, packed.dtype)});
        packed.data = memory.back().view().data;
        const Array<T> weight({out, in}, rounded<T>(numbers(out * in, 10 + i)));
        tested().linear().pack(weight.view(), 0, packed);
        ChainStep step{packed, {}, {}};
        keep.push_back(vector(out, 20 + i));
        step.epilogue.bias = keep.back().view();
        step.epilogue.activation = i == 0 ? Activation::gelu : Activation::none;
        if (i == 1) {
          keep.push_back(vector(out, 30));
          step.epilogue.norm_weight = keep.back().view();
          step.epilogue.norm_eps = 1e-5F;
        }
        if (i == 1 || i == 3) {
          keep.emplace_back(Shape{rows, out});
          step.y = keep.back().view();
        }
        keep.emplace_back(Shape{rows, out});
        tested().linear().forward_packed(input, packed, step.epilogue, keep.back().view());
        input = keep.back().view();
        step_by_step.push_back(input);
        steps.push_back(step);
      }
      tested().linear().forward_packed_chain(x.view(), steps);
      const auto bytes = [](const View& view) {
        std::vector<char> out(static_cast<size_t>(view.numel() * item_size(view.dtype)));
        tested().memory().copy_to_host(out.data(), view.data, static_cast<int64_t>(out.size()));
        return out;
      };
      EXPECT_EQ(bytes(steps[1].y), bytes(step_by_step[1]));
      EXPECT_EQ(bytes(steps[3].y), bytes(step_by_step[3]));
    }
  };
  check(float{});
  check(double{});
  if (tested().device().is_cpu()) return;
  check(float16{});
  check(bfloat16{});
}

}  // namespace
}  // namespace mica
