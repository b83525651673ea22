#include "mica/kernels/norm.h"

#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

struct Expected {
  std::vector<double> y, sum, mean, rstd;
};

Expected layer_norm(const std::vector<double>& x, const std::vector<double>& residual,
                    const std::vector<double>& weight, const std::vector<double>& bias, double eps) {
  Expected e;
  const size_t size = weight.size();
  for (size_t row = 0; row < x.size() / size; ++row) {
    std::vector<double> s;
    double mean = 0, variance = 0;
    for (size_t i = 0; i < size; ++i) {
      s.push_back(x[row * size + i] + (residual.empty() ? 0 : residual[row * size + i]));
      mean += s[i] / static_cast<double>(size);
    }
    for (const double v : s) variance += (v - mean) * (v - mean) / static_cast<double>(size);
    const double rstd = 1 / std::sqrt(variance + eps);
    for (size_t i = 0; i < size; ++i) e.y.push_back((s[i] - mean) * rstd * weight[i] + (bias.empty() ? 0 : bias[i]));
    e.sum.insert(e.sum.end(), s.begin(), s.end());
    e.mean.push_back(mean);
    e.rstd.push_back(rstd);
  }
  return e;
}

template <typename T>
class NormTest : public ::testing::Test {};
TYPED_TEST_SUITE(NormTest, Floats);

TYPED_TEST(NormTest, Forward) {
  using T = TypeParam;
  for (const auto& [rows, size] : {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 5}, {2, 64}, {17, 768}}) {
    for (const bool with_residual : {false, true}) {
      for (const bool with_bias : {false, true}) {
        const auto x = numbers(rows * size, 1);
        const auto residual = with_residual ? numbers(rows * size, 2) : std::vector<double>();
        const auto weight = numbers(size, 3);
        const auto bias = with_bias ? numbers(size, 4) : std::vector<double>();
        const Expected e = layer_norm(x, residual, weight, bias, 1e-5);
        const Array<T> in = array<T>({rows, size}, x), add = array<T>({rows, size}, residual);
        const Array<T> w = array<T>({size}, weight), b = array<T>({size}, bias);
        const Array<T> y({rows, size}), sum({rows, size}), mean({rows}), rstd({rows});
        tested().norm().layer_norm(in.view(), with_residual ? add.view() : View{}, w.view(),
                                   with_bias ? b.view() : View{}, 1e-5, y.view(), sum.view(), mean.view(), rstd.view());
        // Rounding s costs eps |s| rstd; the rest is a handful of roundings of y. A row of one element has rstd 316.
        const double bound = 8 * kEpsilon<T> * (size == 1 ? 400 : 8);
        expect_close(y.values(), e.y, 0, bound, "y");
        expect_close(sum.values(), e.sum, kEpsilon<T>, 0, "sum");
        expect_close(mean.values(), e.mean, 4 * kEpsilon<T>, kEpsilon<T>, "mean");
        expect_close(rstd.values(), e.rstd, 8 * kEpsilon<T>, 0, "rstd");
        // In place, without the optional outputs.
        tested().norm().layer_norm(in.view(), with_residual ? add.view() : View{}, w.view(),
                                   with_bias ? b.view() : View{}, 1e-5, in.view(), {}, {}, {});
        EXPECT_EQ(in.values(), y.values());
      }
    }
  }
}

TYPED_TEST(NormTest, ALargeMeanDoesNotSwallowTheVariance) {
  using T = TypeParam;
  const int64_t size = 256;
  std::vector<double> x;
  for (int64_t i = 0; i < size; ++i) x.push_back(1024 + static_cast<double>(i % 7) / 8);
  const std::vector<double> weight(static_cast<size_t>(size), 1.0);
  const Array<T> y({1, size});
  tested().norm().layer_norm(array<T>({1, size}, x).view(), {}, array<T>({size}, weight).view(), {}, 1e-5, y.view(), {},
                             {}, {});
  expect_close(y.values(), layer_norm(x, {}, weight, {}, 1e-5).y, 0, 1024 * 8 * kEpsilon<T>);
}

struct Gradients {
  std::vector<double> ds, dweight, dbias;
};

template <typename T>
Gradients backward(int64_t rows, int64_t size, const std::vector<double>& x, const std::vector<double>& weight,
                   const std::vector<double>& dy) {
  const Array<T> w = array<T>({size}, weight), g = array<T>({rows, size}, dy);
  const Array<T> y({rows, size}), sum({rows, size}), mean({rows}), rstd({rows});
  const Array<T> ds({rows, size}), dweight({size}), dbias({size});
  tested().norm().layer_norm(array<T>({rows, size}, x).view(), {}, w.view(), {}, 1e-3, y.view(), sum.view(),
                             mean.view(), rstd.view());
  tested().norm().layer_norm_backward(g.view(), sum.view(), mean.view(), rstd.view(), w.view(), {}, {}, ds.view(), {},
                                      dweight.view(), dbias.view());
  return {cast<double>(ds.values()), cast<double>(dweight.values()), cast<double>(dbias.values())};
}

TEST(Norm, BackwardMatchesFiniteDifferences) {
  const int64_t rows = 3, size = 7;
  const auto x = numbers(rows * size, 1), weight = numbers(size, 2), bias = numbers(size, 3),
             dy = numbers(rows * size, 4);
  const Gradients g = backward<double>(rows, size, x, weight, dy);
  const auto loss = [&](const auto& a, const auto& w, const auto& b) {
    const Array<double> y({rows, size});
    tested().norm().layer_norm(array<double>({rows, size}, a).view(), {}, array<double>({size}, w).view(),
                               array<double>({size}, b).view(), 1e-3, y.view(), {}, {}, {});
    return dot(y.values(), dy);
  };
  expect_gradient([&](const auto& v) { return loss(v, weight, bias); }, x, g.ds, "x");
  expect_gradient([&](const auto& v) { return loss(x, v, bias); }, weight, g.dweight, "weight");
  expect_gradient([&](const auto& v) { return loss(x, weight, v); }, bias, g.dbias, "bias");
}

TEST(Norm, BackwardInFloatMatchesDouble) {
  const int64_t rows = 37, size = 130;
  const auto x = numbers(rows * size, 1), weight = numbers(size, 2), dy = numbers(rows * size, 4);
  const Gradients exact = backward<double>(rows, size, x, weight, dy);
  const Gradients got = backward<float>(rows, size, x, weight, dy);
  expect_close(got.ds, exact.ds, 0, 64 * kEpsilon<float>, "ds");
  // Each of the rows adds a term below 2, rounded a few times.
  expect_close(got.dweight, exact.dweight, 0, 8 * 37 * kEpsilon<float>, "dweight");
  expect_close(got.dbias, exact.dbias, 0, 37 * kEpsilon<float>, "dbias");
}

TEST(Norm, GradientsMayBeLeftOut) {
  const Array<float> x = array<float>({2, 3}, numbers(6, 1)), w = array<float>({3}, numbers(3, 2));
  const Array<float> mean({2}, {0, 0}), rstd({2}, {1, 1}), ds({2, 3});
  tested().norm().layer_norm_backward(x.view(), x.view(), mean.view(), rstd.view(), w.view(), {}, {}, ds.view(), {}, {},
                                      {});
  for (const float v : ds.values()) EXPECT_TRUE(std::isfinite(v));
}

TEST(Norm, DoesNotDependOnThreadsOrOtherRows) {
  const int64_t rows = 200, size = 300;
  const auto x = numbers(rows * size, 1), weight = numbers(size, 2);
  const auto forward = [&](int64_t first, int64_t count) {
    const std::vector<double> part(x.begin() + first * size, x.begin() + (first + count) * size);
    const Array<float> y({count, size});
    tested().norm().layer_norm(array<float>({count, size}, part).view(), {}, array<float>({size}, weight).view(), {},
                               1e-5, y.view(), {}, {}, {});
    return y.values();
  };
  expect_same_for_any_threads<float>([&] { return forward(0, rows); });
  const auto all = forward(0, rows), some = forward(50, 3);
  EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 50 * size));
  expect_same_for_any_threads<double>([&] {
    const Gradients g = backward<float>(rows, size, x, weight, x);
    std::vector<double> joined = g.ds;
    joined.insert(joined.end(), g.dweight.begin(), g.dweight.end());
    joined.insert(joined.end(), g.dbias.begin(), g.dbias.end());
    return joined;
  });
}

}  // namespace
}  // namespace mica
