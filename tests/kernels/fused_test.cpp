// What training does in one pass over memory, against its steps one by one: dropout with a residual, and a norm of that
// sum; products with an activation on their way, and with the sums that biases' gradients are.

#include "mica/kernels/activation.h"
#include "mica/kernels/norm.h"
#include "mica/tests/kernels/linear_support.h"

namespace mica::test {
namespace {

template <typename T>
class FusedTest : public testing::Test {};
using Floats = testing::Types<float, double>;
TYPED_TEST_SUITE(FusedTest, Floats);

constexpr Dropout kDropout{.p = 0.3, .seed = 11, .stream = 5};

// Sizes that no vector and no Philox block divides, rows that start inside one, and a row longer than the registers.
const std::vector<std::pair<int64_t, int64_t>> kRowsAndSizes = {{0, 8},   {3, 5},    {2, 64},
                                                                {70, 33}, {17, 768}, {2, 9001}};

template <typename T>
Array<T> dropped(const Array<T>& x, const View& residual, const Shape& shape) {
  const Array<T> y(shape);
  tested().random().dropout(kDropout, x.view(), residual, y.view());
  return y;
}

TYPED_TEST(FusedTest, DropoutAddsAResidual) {
  using T = TypeParam;
  const int64_t n = 1003;
  const auto other = numbers(n, 2);
  const Array<T> x = array<T>({n}, numbers(n, 1)), residual = array<T>({n}, other);
  std::vector<T> want = dropped(x, {}, {n}).values();
  for (size_t i = 0; i < want.size(); ++i) want[i] += static_cast<T>(other[i]);
  EXPECT_EQ(dropped(x, residual.view(), {n}).values(), want);
  tested().random().dropout(kDropout, x.view(), residual.view(), residual.view());
  EXPECT_EQ(residual.values(), want);
}

TYPED_TEST(FusedTest, TheNormOfADroppedSumHasTheBitsOfItsSteps) {
  using T = TypeParam;
  for (const auto& [rows, size] : kRowsAndSizes) {
    const Shape shape{rows, size};
    const Array<T> x = array<T>(shape, numbers(rows * size, 1)), residual = array<T>(shape, numbers(rows * size, 2));
    const Array<T> weight = array<T>({size}, numbers(size, 3)), bias = array<T>({size}, numbers(size, 4));
    for (const View& added : {residual.view(), View{}}) {
      const Array<T> y(shape), sum(shape), mean({rows}), rstd({rows}), want(shape);
      tested().norm().layer_norm(x.view(), added, weight.view(), bias.view(), 1e-5, y.view(), sum.view(), mean.view(),
                                 rstd.view(), kDropout);
      const Array<T> want_sum = dropped(x, added, shape);
      tested().norm().layer_norm(want_sum.view(), {}, weight.view(), bias.view(), 1e-5, want.view(), {}, {}, {});
      EXPECT_EQ(sum.values(), want_sum.values()) << rows << " x " << size;
      EXPECT_EQ(y.values(), want.values()) << rows << " x " << size;
    }
  }
}

TYPED_TEST(FusedTest, TheGradientOfADroppedSumIsThatOfItsSteps) {
  using T = TypeParam;
  for (const auto& [rows, size] : kRowsAndSizes) {
    const Shape shape{rows, size};
    const auto from_sum = numbers(rows * size, 5);
    const Array<T> x = array<T>(shape, numbers(rows * size, 1)), weight = array<T>({size}, numbers(size, 3));
    const Array<T> dy = array<T>(shape, numbers(rows * size, 4)), dsum = array<T>(shape, from_sum);
    const Array<T> y(shape), sum(shape), mean({rows}), rstd({rows});
    tested().norm().layer_norm(x.view(), {}, weight.view(), {}, 1e-3, y.view(), sum.view(), mean.view(), rstd.view());
    const auto backward = [&](const View& other, const Dropout& dropout, const Array<T>& ds, const View& dx) {
      const Array<T> dweight({size}), dbias({size});
      tested().norm().layer_norm_backward(dy.view(), sum.view(), mean.view(), rstd.view(), weight.view(), other,
                                          dropout, ds.view(), dx, dweight.view(), dbias.view());
      return std::pair(dweight.values(), dbias.values());
    };
    const Array<T> ds(shape), fused_ds(shape), fused_dx(shape);
    const auto parameters = backward({}, {}, ds, {});
    EXPECT_EQ(backward(dsum.view(), kDropout, fused_ds, fused_dx.view()), parameters);
    std::vector<T> want = ds.values();
    for (size_t i = 0; i < want.size(); ++i) want[i] += static_cast<T>(from_sum[i]);
    EXPECT_EQ(fused_ds.values(), want) << rows << " x " << size;
    EXPECT_EQ(fused_dx.values(), dropped(fused_ds, {}, shape).values()) << rows << " x " << size;
    // In the memory of the other gradient.
    backward(dsum.view(), kDropout, dsum, fused_dx.view());
    EXPECT_EQ(dsum.values(), want);
  }
}

struct Sizes {
  int64_t m, n, k;
};
const std::vector<Sizes> kProducts = {{5, 7, 3}, {64, 48, 40}, {130, 200, 72}, {33, 1, 9}, {1, 20, 17}};

TYPED_TEST(FusedTest, AProductGivesItsActivationAndTakesOnesGradient) {
  using T = TypeParam;
  for (const auto& [m, n, k] : kProducts) {
    const Array<T> a = array<T>({m, k}, numbers(m * k, 1)), b = array<T>({n, k}, numbers(n * k, 2));
    const Array<T> bias = array<T>({n}, numbers(n, 3)), before = array<T>({m, n}, numbers(m * n, 4));
    for (const DType factors : {DType::float32, DType::bfloat16}) {
      for (const Activation activation :
           {Activation::gelu, Activation::gelu_tanh, Activation::relu, Activation::tanh}) {
        const auto product = [&](const View& c, const View& added, const ProductExtras& extras) {
          tested().linear().product(a.view(), false, b.view(), true, added, c, factors, false, extras);
        };
        const auto activated = [&](const Array<T>& x) {
          const Array<T> y({m, n});
          tested().activation().forward(activation, x.view(), y.view());
          return y.values();
        };
        const Array<T> plain({m, n}), c({m, n}), after({m, n});
        product(plain.view(), bias.view(), {});
        product(c.view(), bias.view(), {.activation = activation, .activated = after.view()});
        EXPECT_EQ(c.values(), plain.values()) << m << " " << n << " " << k;
        EXPECT_EQ(after.values(), activated(c)) << m << " " << n << " " << k;

        product(plain.view(), {}, {});
        const Array<T> want({m, n}), again({m, n});
        tested().activation().backward(activation, before.view(), plain.view(), want.view());
        product(c.view(), {}, {.activation = activation, .before = before.view(), .activated = again.view()});
        EXPECT_EQ(c.values(), want.values()) << m << " " << n << " " << k;
        EXPECT_EQ(again.values(), activated(before)) << m << " " << n << " " << k;
        product(c.view(), {}, {.activation = activation, .before = before.view()});
        EXPECT_EQ(c.values(), want.values()) << m << " " << n << " " << k;
      }
    }
  }
}

TYPED_TEST(FusedTest, AProductAddsUpItsFactorsOverTheDepth) {
  using T = TypeParam;
  for (const auto& [m, n, k] : kProducts) {
    const auto x = numbers(k * m, 1), y = numbers(k * n, 2);
    const Array<T> a = array<T>({k, m}, x), b = array<T>({k, n}, y);
    const auto check = [k = k](const std::vector<T>& got, const std::vector<double>& of, int64_t size) {
      for (int64_t i = 0; i < size; ++i) {
        double want = 0;
        for (int64_t p = 0; p < k; ++p) want += of[static_cast<size_t>(p * size + i)];
        // k terms below 1, each rounded once when it is added.
        EXPECT_NEAR(static_cast<double>(got[static_cast<size_t>(i)]), want, static_cast<double>(k * k) * kEpsilon<T>);
      }
    };
    for (const DType factors : {DType::float32, DType::bfloat16}) {
      const Array<T> plain({m, n}), c({m, n}), a_sums({m}), b_sums({n});
      tested().linear().product(a.view(), true, b.view(), false, {}, plain.view(), factors, false);
      tested().linear().product(a.view(), true, b.view(), false, {}, c.view(), factors, false,
                                {.a_sums = a_sums.view()});
      EXPECT_EQ(c.values(), plain.values());
      tested().linear().product(a.view(), true, b.view(), false, {}, c.view(), factors, false,
                                {.b_sums = b_sums.view()});
      EXPECT_EQ(c.values(), plain.values());
      check(a_sums.values(), x, m);
      check(b_sums.values(), y, n);
    }
  }
}

}  // namespace
}  // namespace mica::test
