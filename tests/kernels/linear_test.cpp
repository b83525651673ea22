#include "mica/kernels/linear.h"

#include "mica/base/error.h"
#include "mica/tests/kernels/linear_support.h"

namespace mica {
namespace {

using namespace test;

template <typename T>
class LinearTest : public ::testing::Test {};
TYPED_TEST_SUITE(LinearTest, Floats);

TYPED_TEST(LinearTest, MatmulInEveryOrientation) {
  using T = TypeParam;
  struct Size {
    int64_t m, n, k;
  };
  for (const auto& [m, n, k] :
       {Size{1, 1, 1}, {5, 3, 4}, {1, 33, 70}, {67, 1, 9}, {130, 19, 33}, {3, 4, 0}, {0, 4, 3}}) {
    const auto a = numbers(m * k, 1), b = numbers(n * k, 2), c = numbers(m * n, 3);
    const Bounded exact = product(m, n, k, a, b, kEpsilon<T>);
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        const Array<T> first = transpose_a ? array<T>({k, m}, flipped(a, m, k)) : array<T>({m, k}, a);
        const Array<T> second = transpose_b ? array<T>({n, k}, b) : array<T>({k, n}, flipped(b, n, k));
        const Array<T> fresh({m, n}), added = array<T>({m, n}, c);
        tested().linear().matmul(first.view(), transpose_a, second.view(), transpose_b, fresh.view(), 1, 0);
        expect_close(fresh.values(), exact.want, exact.bound);
        tested().linear().matmul(first.view(), transpose_a, second.view(), transpose_b, added.view(), -0.5, 1);
        std::vector<double> want;
        for (size_t i = 0; i < c.size(); ++i) want.push_back(-0.5 * exact.want[i] + c[i]);
        expect_close(added.values(), want, exact.bound);
      }
    }
  }
}

TYPED_TEST(LinearTest, MatmulBroadcastsBatchesAndFollowsStrides) {
  using T = TypeParam;
  const int64_t batch = 3, heads = 2, m = 5, n = 4, k = 6;
  // a is stored [batch, m, heads, k] and read [batch, heads, m, k]; b [heads, k, n] serves every batch.
  const auto a = numbers(batch * m * heads * k, 1), b = numbers(heads * k * n, 2);
  const Array<T> first = array<T>({batch, m, heads, k}, a), second = array<T>({1, heads, k, n}, b);
  const Array<T> c({batch, heads, m, n});
  View va = first.view(), vb = second.view();
  va.shape = {batch, heads, m, k};
  va.strides = {m * heads * k, k, heads * k, 1};
  vb.shape[0] = batch;
  vb.strides[0] = 0;
  tested().linear().matmul(va, false, vb, false, c.view(), 2, 0);
  const auto got = c.values();
  for (int64_t s = 0; s < batch; ++s) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t p = 0; p < k; ++p) {
            sum +=
                a[static_cast<size_t>(((s * m + i) * heads + h) * k + p)] * b[static_cast<size_t>((h * k + p) * n + j)];
          }
          EXPECT_NEAR(static_cast<double>(got[static_cast<size_t>(((s * heads + h) * m + i) * n + j)]), 2 * sum,
                      16 * k * kEpsilon<T>);
        }
      }
    }
  }
}

double relu(double x) {
  return x > 0 ? x : 0;
}

TYPED_TEST(LinearTest, ForwardWithEveryEpilogue) {
  using T = TypeParam;
  const int64_t rows = 9, in = 21, out = 13;
  const auto x = numbers(rows * in, 1), w = numbers(out * in, 2), bias = numbers(out, 3);
  const auto residual = numbers(rows * (out + 2), 4), scale = numbers(out, 5), shift = numbers(out, 6);
  const Bounded exact = product(rows, out, in, x, w, kEpsilon<T>);
  const Array<T> vx = array<T>({rows, in}, x), vw = array<T>({out, in}, w), vb = array<T>({out}, bias);
  const Array<T> vr = array<T>({rows, out + 2}, residual), vs = array<T>({out}, scale), vt = array<T>({out}, shift);
  for (int options = 0; options < 16; ++options) {
    Epilogue epilogue;
    std::vector<double> want = exact.want, bound = exact.bound;
    if (options & 1) epilogue.bias = vb.view();
    if (options & 2) epilogue.activation = Activation::relu;
    if (options & 4) {
      epilogue.residual = vr.view();
      epilogue.residual.shape[1] = out;
    }
    for (int64_t i = 0; i < rows; ++i) {
      double mean = 0, variance = 0;
      double* row = want.data() + i * out;
      for (int64_t j = 0; j < out; ++j) {
        if (options & 1) row[j] += bias[static_cast<size_t>(j)];
        if (options & 2) row[j] = relu(row[j]);
        if (options & 4) row[j] += residual[static_cast<size_t>(i * (out + 2) + j)];
        mean += row[j] / static_cast<double>(out);
      }
      if ((options & 8) == 0) continue;
      epilogue.norm_weight = vs.view();
      epilogue.norm_bias = vt.view();
      epilogue.norm_eps = 1e-5F;
      for (int64_t j = 0; j < out; ++j) variance += (row[j] - mean) * (row[j] - mean) / static_cast<double>(out);
      const double rstd = 1 / std::sqrt(variance + static_cast<double>(1e-5F));
      for (int64_t j = 0; j < out; ++j) {
        const auto at = static_cast<size_t>(j);
        row[j] = (row[j] - mean) * rstd * scale[at] + shift[at];
        bound[static_cast<size_t>(i * out + j)] *= 4 * std::max(1.0, rstd);
      }
    }
    const Array<T> y({rows, out});
    tested().linear().forward(vx.view(), vw.view(), epilogue, y.view());
    expect_close(y.values(), want, bound, std::to_string(options).c_str());

    PackedWeight packed{nullptr, out, in, tested().linear().packed_dtype(dtype_of<T>())};
    if (packed.dtype != dtype_of<T>()) continue;
    const Array<uint8_t> memory({tested().linear().packed_bytes(out, in, packed.dtype)});
    packed.data = memory.view().data;
    tested().linear().pack(vw.view(), 0, packed);
    const Array<T> z({rows, out});
    tested().linear().forward_packed(vx.view(), packed, epilogue, z.view());
    expect_close(z.values(), want, bound, "packed");
  }
}

TYPED_TEST(LinearTest, TheResidualMayBeTheResult) {
  using T = TypeParam;
  const int64_t rows = 6, in = 10, out = 9;
  const Array<T> x = array<T>({rows, in}, numbers(rows * in, 1)), w = array<T>({out, in}, numbers(out * in, 2));
  const Array<T> residual = array<T>({rows, out}, numbers(rows * out, 3)), y({rows, out});
  Epilogue epilogue;
  epilogue.residual = residual.view();
  tested().linear().forward(x.view(), w.view(), epilogue, y.view());
  tested().linear().forward(x.view(), w.view(), epilogue, residual.view());
  EXPECT_EQ(residual.values(), y.values());
}

TYPED_TEST(LinearTest, RowsOfXAndYMayLieApart) {
  using T = TypeParam;
  const int64_t rows = 6, in = 10, out = 9;
  const auto x = numbers(rows * (in + 3), 1), w = numbers(out * in, 2);
  std::vector<double> dense;
  for (int64_t i = 0; i < rows; ++i) dense.insert(dense.end(), x.begin() + i * (in + 3), x.begin() + i * (in + 3) + in);
  const Bounded exact = product(rows, out, in, dense, w, kEpsilon<T>);
  const Array<T> wide = array<T>({rows, in + 3}, x), y({rows, out + 5});
  View vx = wide.view(), vy = y.view();
  vx.shape[1] = in;
  vy.shape[1] = out;
  tested().linear().forward(vx, array<T>({out, in}, w).view(), {}, vy);
  const auto got = y.values();
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < out + 5; ++j) {
      const T value = got[static_cast<size_t>(i * (out + 5) + j)];
      if (j >= out) {
        EXPECT_TRUE(std::isnan(value)) << "written outside the view";
      } else {
        const auto at = static_cast<size_t>(i * out + j);
        EXPECT_NEAR(static_cast<double>(value), exact.want[at], exact.bound[at]);
      }
    }
  }
}

template <typename W>
void check_weight_dtype() {
  const int64_t rows = 5, in = 40, out = 11;
  const auto x = numbers(rows * in, 1);
  std::vector<W> w;
  std::vector<double> w_exact;
  for (const double v : numbers(out * in, 2)) {
    w.push_back(W(static_cast<float>(v)));
    w_exact.push_back(static_cast<double>(static_cast<float>(w.back())));
  }
  const Bounded exact = product(rows, out, in, x, w_exact, kEpsilon<float>);
  const Array<W> weight({out, in}, w);
  const Array<float> vx = array<float>({rows, in}, x), y({rows, out});
  // Where products of bfloat16 round x to 8 bits, each term is off by 2^-8.
  std::vector<double> bound = exact.bound;
  if (tested().linear().packed_dtype(dtype_of<W>()) == DType::bfloat16) {
    for (double& b : bound) b += 0x1p-8 * static_cast<double>(in);
  }
  tested().linear().forward(vx.view(), weight.view(), {}, y.view());
  expect_close(y.values(), exact.want, bound);

  // Packed in two parts.
  PackedWeight packed{nullptr, out, in, tested().linear().packed_dtype(dtype_of<W>())};
  const Array<uint8_t> memory({tested().linear().packed_bytes(out, in, packed.dtype)});
  packed.data = memory.view().data;
  const Array<W> upper({4, in}, {w.begin(), w.begin() + 4 * in}), lower({out - 4, in}, {w.begin() + 4 * in, w.end()});
  tested().linear().pack(lower.view(), 4, packed);
  tested().linear().pack(upper.view(), 0, packed);
  tested().linear().forward_packed(vx.view(), packed, {}, y.view());
  expect_close(y.values(), exact.want, bound);
}

TEST(Linear, WeightsOfOtherTypes) {
  check_weight_dtype<float>();
  check_weight_dtype<bfloat16>();
  check_weight_dtype<float16>();
  const Array<float> x({1, 1}, {1}), y({1, 1});
  const Array<int32_t> weight({1, 1}, {1});
  EXPECT_THROW(tested().linear().forward(x.view(), weight.view(), {}, y.view()), Error);
}

TEST(Linear, NoRowsAndEmptySums) {
  const Array<float> none({0, 4}), w = array<float>({3, 4}, numbers(12, 1)), y({0, 3});
  tested().linear().forward(none.view(), w.view(), {}, y.view());
  const Array<float> thin({2, 0}), empty({3, 0}), z({2, 3});
  tested().linear().forward(thin.view(), empty.view(), {}, z.view());
  EXPECT_EQ(z.values(), std::vector<float>(6, 0.0F));
}

TEST(Linear, DoesNotDependOnThreadsOrOtherRows) {
  const int64_t rows = 301, in = 77, out = 65;
  const auto x = numbers(rows * in, 1), w = numbers(out * in, 2);
  const Array<float> weight = array<float>({out, in}, w), bias = array<float>({out}, numbers(out, 3));
  const auto forward = [&](int64_t first, int64_t count) {
    const std::vector<double> part(x.begin() + first * in, x.begin() + (first + count) * in);
    Epilogue epilogue;
    epilogue.bias = bias.view();
    epilogue.activation = Activation::gelu;
    epilogue.norm_weight = bias.view();
    const Array<float> y({count, out});
    tested().linear().forward(array<float>({count, in}, part).view(), weight.view(), epilogue, y.view());
    return y.values();
  };
  expect_same_for_any_threads<float>([&] { return forward(0, rows); });
  const auto all = forward(0, rows);
  // A GPU takes up to 16 rows with a kernel of its own, whose sums have another order: there few rows are held against
  // few, many against many.
  const bool cpu = tested().device().is_cpu();
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 1}, {3, 1}, {298, 3}, {100, 64}, {5, 17}}) {
    const auto some = forward(first, count);
    if (cpu || count > 16) {
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + first * out)) << first;
    } else {
      const int64_t from = std::min(first, rows - 16);
      const auto few = forward(from, 16);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), few.begin() + (first - from) * out)) << first;
    }
  }
}

}  // namespace
}  // namespace mica
