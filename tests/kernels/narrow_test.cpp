// float16 and bfloat16 on devices that compute in them: each kernel against the same kernel in float64 on the same
// numbers. What a kernel reads is exact in both, sums run in float32, and the result is rounded once, to half a unit in
// the last place u; where a kernel rounds what it hands on (a mean, a sum of two rows), its bound has a term for that.

#include "mica/kernels/activation.h"
#include "mica/kernels/convolution.h"
#include "mica/kernels/elementwise.h"
#include "mica/kernels/embedding.h"
#include "mica/kernels/loss.h"
#include "mica/kernels/norm.h"
#include "mica/kernels/reduce.h"
#include "mica/kernels/rotary.h"
#include "mica/kernels/scan.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

template <typename T>
constexpr double kHalfUnit = std::is_same_v<T, bfloat16> ? 0x1p-9 : 0x1p-12;  // of a number in [1, 2), over 2
template <typename T>
constexpr double kU = 2 * kHalfUnit<T>;  // a rounding's largest relative error

template <typename T>
std::vector<double> wide(const std::vector<T>& values) {
  std::vector<double> out;
  for (const T& v : values) {
    if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>) {
      out.push_back(static_cast<double>(v));
    } else {
      out.push_back(static_cast<double>(static_cast<float>(v)));
    }
  }
  return out;
}

// Numbers that T holds exactly.
template <typename T>
std::vector<double> exact(int64_t n, uint64_t seed, double low = -1, double high = 1) {
  std::vector<double> out = numbers(n, seed, low, high);
  for (double& v : out) v = static_cast<double>(static_cast<float>(T(static_cast<float>(v))));
  return out;
}

template <typename T>
Array<T> on_device(const Shape& shape, const std::vector<double>& values) {
  std::vector<T> host;
  for (const double v : values) {
    if constexpr (std::is_same_v<T, double>) {
      host.push_back(v);
    } else {
      host.push_back(T(static_cast<float>(v)));
    }
  }
  return Array<T>(shape, host);
}

// Elements of about 1 and above are bounded by their own size, those below by that of 1.
template <typename T>
void expect_rounded(const std::vector<double>& got, const std::vector<double>& want, const char* what,
                    double roundings = 1.1) {
  expect_close(got, want, roundings * kU<T>, roundings * kU<T>, what);
}

template <typename T>
class NarrowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (tested().device().is_cpu()) GTEST_SKIP() << "the CPU keeps activations in float32";
    if (tested().activation_dtype(dtype_of<T>()) != dtype_of<T>()) GTEST_SKIP() << "not a dtype of this device";
  }
};
using Narrow = ::testing::Types<float16, bfloat16>;
TYPED_TEST_SUITE(NarrowTest, Narrow);

// body(zero) computes in the type of zero and returns the results; they are compared part by part.
using Parts = std::vector<std::vector<double>>;
template <typename T, typename Body>
void expect_parts(const Body& body, const char* what, double roundings = 1.1) {
  const Parts got = body(T{}), want = body(double{});
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    SCOPED_TRACE(i);
    expect_rounded<T>(got[i], want[i], what, roundings);
  }
}

TYPED_TEST(NarrowTest, LayerNorm) {
  using T = TypeParam;
  for (const auto& [rows, size] : {std::pair<int64_t, int64_t>{3, 5}, {5, 64}, {9, 768}, {2, 1032}, {1, 2056}}) {
    const auto x = exact<T>(rows * size, 1), w = exact<T>(size, 2, 0.5, 1.5), b = exact<T>(size, 3),
               dy = exact<T>(rows * size, 4);
    // A mean and a deviation that were rounded move xhat by some u.
    expect_parts<T>(
        [&, rows = rows, size = size](auto zero) {
          using C = decltype(zero);
          const auto in = on_device<C>({rows, size}, x), weight = on_device<C>({size}, w),
                     bias = on_device<C>({size}, b), slope = on_device<C>({rows, size}, dy);
          const Array<C> y({rows, size}), sum({rows, size}), mean({rows}), rstd({rows}), ds({rows, size}), dw({size}),
              db({size});
          tested().norm().layer_norm(in.view(), {}, weight.view(), bias.view(), 1e-5, y.view(), sum.view(), mean.view(),
                                     rstd.view());
          tested().norm().layer_norm_backward(slope.view(), sum.view(), mean.view(), rstd.view(), weight.view(), {}, {},
                                              ds.view(), {}, dw.view(), db.view());
          return Parts{wide(y.values()),  wide(sum.values()), wide(mean.values()), wide(rstd.values()),
                       wide(ds.values()), wide(dw.values()),  wide(db.values())};
        },
        "layer norm", 12);
  }
}

TYPED_TEST(NarrowTest, NormsTakeFloatParameters) {
  using T = TypeParam;
  const int64_t rows = 3, size = 96;
  const auto x = exact<T>(rows * size, 1), w = exact<T>(size, 2), b = exact<T>(size, 3);
  const auto in = on_device<T>({rows, size}, x), weight = on_device<T>({size}, w), bias = on_device<T>({size}, b);
  const Array<float> weight32 = array<float>({size}, w), bias32 = array<float>({size}, b);
  const Array<T> y({rows, size}), same({rows, size});
  tested().norm().layer_norm(in.view(), {}, weight.view(), bias.view(), 1e-5, y.view(), {}, {}, {});
  tested().norm().layer_norm(in.view(), {}, weight32.view(), bias32.view(), 1e-5, same.view(), {}, {}, {});
  EXPECT_EQ(wide(y.values()), wide(same.values()));
  tested().norm().rms_norm(in.view(), weight.view(), 1, 1e-5, y.view(), {});
  tested().norm().rms_norm(in.view(), weight32.view(), 1, 1e-5, same.view(), {});
  EXPECT_EQ(wide(y.values()), wide(same.values()));
}

TYPED_TEST(NarrowTest, RmsNorm) {
  using T = TypeParam;
  for (const auto& [rows, size] : {std::pair<int64_t, int64_t>{3, 5}, {5, 64}, {3, 1032}}) {
    const auto x = exact<T>(rows * size, 1), w = exact<T>(size, 2, 0.5, 1.5), dy = exact<T>(rows * size, 4);
    expect_parts<T>(
        [&, rows = rows, size = size](auto zero) {
          using C = decltype(zero);
          const auto in = on_device<C>({rows, size}, x), weight = on_device<C>({size}, w),
                     slope = on_device<C>({rows, size}, dy);
          const Array<C> y({rows, size}), rstd({rows}), dx({rows, size}), dw({size});
          tested().norm().rms_norm(in.view(), weight.view(), 0, 1e-5, y.view(), rstd.view());
          tested().norm().rms_norm_backward(slope.view(), in.view(), rstd.view(), weight.view(), 0, dx.view(),
                                            dw.view());
          return Parts{wide(y.values()), wide(rstd.values()), wide(dx.values()), wide(dw.values())};
        },
        "rms norm", 12);
  }
}

TYPED_TEST(NarrowTest, Softmax) {
  using T = TypeParam;
  for (const int64_t size : {3, 64, 1500}) {
    const auto x = exact<T>(4 * size, 1, -4, 4), dy = exact<T>(4 * size, 2);
    for (const bool log : {false, true}) {
      // The backward pass starts from the rounded output: an error of some u of y, times |dy| and their sum.
      expect_parts<T>(
          [&](auto zero) {
            using C = decltype(zero);
            const auto in = on_device<C>({4, size}, x);
            const Array<C> y({4, size});
            tested().reduce().softmax(in.view(), log, y.view());
            return Parts{wide(y.values())};
          },
          "softmax");
      const auto forward = [&] {
        const Array<T> y({4, size});
        tested().reduce().softmax(on_device<T>({4, size}, x).view(), log, y.view());
        return wide(y.values());
      }();
      expect_parts<T>(
          [&](auto zero) {
            using C = decltype(zero);
            const auto y = on_device<C>({4, size}, forward), slope = on_device<C>({4, size}, dy);
            const Array<C> dx({4, size});
            tested().reduce().softmax_backward(y.view(), slope.view(), log, dx.view());
            return Parts{wide(dx.values())};
          },
          "softmax backward");
    }
  }
}

TYPED_TEST(NarrowTest, Reductions) {
  using T = TypeParam;
  for (const auto& [outer, size, inner] : {std::array<int64_t, 3>{2, 5, 3}, {3, 700, 1}, {1, 1100, 5}, {2, 20000, 1}}) {
    const auto x = exact<T>(outer * size * inner, 1);
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::min}) {
      expect_parts<T>(
          [&, outer = outer, size = size, inner = inner](auto zero) {
            using C = decltype(zero);
            const Array<C> y({outer, inner});
            tested().reduce().reduce(op, on_device<C>({outer, size, inner}, x).view(), y.view());
            return Parts{wide(y.values())};
          },
          "reduce");
    }
    const auto argmax = [&, outer = outer, size = size, inner = inner](auto zero) {
      using C = decltype(zero);
      const Array<int64_t> y({outer, inner});
      tested().reduce().argmax(on_device<C>({outer, size, inner}, x).view(), y.view());
      return y.values();
    };
    EXPECT_EQ(argmax(T{}), argmax(double{}));
  }
  const auto x = exact<T>(3 * 400, 1);
  const auto largest = [&](auto zero) {
    using C = decltype(zero);
    const Array<C> values({3, 7});
    const Array<int64_t> indices({3, 7});
    tested().reduce().topk(on_device<C>({3, 400}, x).view(), values.view(), indices.view());
    return std::pair{wide(values.values()), indices.values()};
  };
  EXPECT_EQ(largest(T{}), largest(double{}));
}

TYPED_TEST(NarrowTest, CrossEntropy) {
  using T = TypeParam;
  for (const int64_t classes : {5, 300, 1100}) {
    const int64_t rows = 4;
    const auto x = exact<T>(rows * classes, 1, -3, 3);
    const Array<int64_t> labels({rows}, {2, -100, 4, 0});
    // exp(x - log_sum_exp) has the error of the rounded sum, u of up to 10, and the gradient that of p.
    expect_parts<T>(
        [&](auto zero) {
          using C = decltype(zero);
          const auto logits = on_device<C>({rows, classes}, x), dloss = on_device<C>({}, {1});
          const Array<C> loss({}), sums({rows}), gradient({rows, classes});
          tested().loss().cross_entropy(logits.view(), labels.view(), -100, loss.view(), sums.view());
          tested().loss().cross_entropy_backward(dloss.view(), logits.view(), labels.view(), -100, sums.view(),
                                                 gradient.view());
          return Parts{wide(loss.values()), wide(sums.values()), wide(gradient.values())};
        },
        "cross entropy", 4);
  }
}

TYPED_TEST(NarrowTest, Pointwise) {
  using T = TypeParam;
  const int64_t rows = 3, size = 40;
  const auto a = exact<T>(rows * size, 1, -4, 4), b = exact<T>(rows * size, 2), c = exact<T>(rows * size, 3);
  for (int which = 0; which <= static_cast<int>(kLastActivation); ++which) {
    const auto activation = static_cast<Activation>(which);
    expect_parts<T>(
        [&](auto zero) {
          using C = decltype(zero);
          const auto x = on_device<C>({rows, size}, a), up = on_device<C>({rows, size}, b),
                     dy = on_device<C>({rows, size}, c);
          const Array<C> y({rows, size}), dx({rows, size}), gated({rows, size}), dgate({rows, size}), dup({rows, size});
          tested().activation().forward(activation, x.view(), y.view());
          tested().activation().backward(activation, x.view(), dy.view(), dx.view());
          tested().activation().gated(activation, x.view(), up.view(), gated.view());
          tested().activation().gated_backward(activation, x.view(), up.view(), dy.view(), dgate.view(), dup.view());
          return Parts{wide(y.values()), wide(dx.values()), wide(gated.values()), wide(dgate.values()),
                       wide(dup.values())};
        },
        "activation");
  }
  for (const BinaryOp op : {BinaryOp::add, BinaryOp::multiply, BinaryOp::maximum}) {
    expect_parts<T>(
        [&](auto zero) {
          using C = decltype(zero);
          const Array<C> y({rows, size});
          tested().elementwise().binary(op, on_device<C>({rows, size}, a).view(), on_device<C>({rows, size}, b).view(),
                                        y.view());
          return Parts{wide(y.values())};
        },
        "binary");
  }
  expect_parts<T>(
      [&](auto zero) {
        using C = decltype(zero);
        const Array<C> y({rows, 2, 20});
        const auto cos = on_device<C>({rows, 8}, exact<T>(rows * 8, 5)),
                   sin = on_device<C>({rows, 8}, exact<T>(rows * 8, 6));
        tested().rotary().rotate(on_device<C>({rows, 2, 20}, a).view(), cos.view(), sin.view(),
                                 RotaryLayout::half_split, 2, false, y.view());
        return Parts{wide(y.values())};
      },
      "rotary");
}

TYPED_TEST(NarrowTest, EmbeddingAndDropout) {
  using T = TypeParam;
  const int64_t rows = 9, size = 20;
  const std::vector<int64_t> named{3, 8, 3, 0, 3, 8, 1};
  const auto n = static_cast<int64_t>(named.size());
  const Array<int64_t> ids({n}, named);
  const auto table = exact<T>(rows * size, 1), dy = exact<T>(n * size, 2);
  expect_parts<T>(
      [&](auto zero) {
        using C = decltype(zero);
        const auto dtable = on_device<C>({rows, size}, table);
        const Array<C> y({n, size});
        tested().embedding().forward(on_device<C>({rows, size}, table).view(), ids.view(), y.view());
        tested().embedding().backward(on_device<C>({n, size}, dy).view(), ids.view(), 8, dtable.view());
        return Parts{wide(y.values()), wide(dtable.values())};
      },
      "embedding");
  for (const int64_t count : {3, 64, 1001}) {
    const auto x = exact<T>(count, 4, 1, 2);
    expect_parts<T>(
        [&](auto zero) {
          using C = decltype(zero);
          const Array<C> y({count});
          tested().random().dropout({0.25, 7, 3}, on_device<C>({count}, x).view(), {}, y.view());
          return Parts{wide(y.values())};
        },
        "dropout");
  }
}

TYPED_TEST(NarrowTest, ConvolutionAndScan) {
  using T = TypeParam;
  const int64_t rows = 30, channels = 20, kernel_size = 4;
  const std::vector<int32_t> offsets{0, 9, 9, 30};
  const Array<int32_t> offsets_on_device({4}, offsets);
  const Segments texts{offsets, offsets_on_device.view().as<int32_t>()};
  const auto x = exact<T>(rows * channels, 1), dy = exact<T>(rows * channels, 2), w = exact<T>(channels * 4, 3),
             b = exact<T>(channels, 4), taps = exact<T>(rows * channels * 4, 5), start = exact<T>(3 * channels, 6);
  expect_parts<T>(
      [&](auto zero) {
        using C = decltype(zero);
        const Shape shape{rows, channels};
        const auto in = on_device<C>(shape, x), gradient = on_device<C>(shape, dy);
        const Array<C> y(shape), dweight({channels, kernel_size}), dbias({channels}), dx(shape),
            unfolded({2, rows, channels / 2 * kernel_size});
        ConvolutionKernels& kernels = tested().convolution();
        kernels.depthwise(in.view(), texts, on_device<C>({channels, kernel_size}, w).view(),
                          on_device<C>({channels}, b).view(), 3, false, y.view());
        kernels.depthwise_backward(in.view(), gradient.view(), texts, 3, dweight.view(), dbias.view());
        kernels.unfold(in.view(), texts, 3, unfolded.view());
        kernels.fold(on_device<C>({2, rows, channels / 2 * kernel_size}, taps).view(), texts, 3, dx.view());
        return Parts{wide(y.values()), wide(dweight.values()), wide(dbias.values()), wide(unfolded.values()),
                     wide(dx.values())};
      },
      "convolution");
  expect_parts<T>(
      [&](auto zero) {
        using C = decltype(zero);
        const Shape shape{rows, channels};
        const auto a = on_device<C>(shape, x), initial = on_device<C>({3, channels}, start);
        const Array<C> h(shape), da(shape), db(shape), dinitial({3, channels});
        tested().scan().linear(a.view(), on_device<C>(shape, dy).view(), initial.view(), texts, h.view());
        // Any numbers may stand for the states here, so that both read the same.
        tested().scan().linear_backward(a.view(), on_device<C>(shape, dy).view(), initial.view(),
                                        on_device<C>(shape, x).view(), texts, da.view(), db.view(), dinitial.view());
        return Parts{wide(h.values()), wide(da.values()), wide(db.values()), wide(dinitial.values())};
      },
      "scan");
}

}  // namespace
}  // namespace mica
