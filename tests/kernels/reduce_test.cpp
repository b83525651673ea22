#include "mica/kernels/reduce.h"

#include <algorithm>
#include <numeric>

#include "mica/base/error.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

double reduce(ReduceOp op, const std::vector<double>& values) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  switch (op) {
    case ReduceOp::sum:
      return sum;
    case ReduceOp::mean:
      return sum / static_cast<double>(values.size());
    case ReduceOp::max:
      return *std::max_element(values.begin(), values.end());
    case ReduceOp::min:
      return *std::min_element(values.begin(), values.end());
  }
  return NAN;
}

struct Size {
  int64_t outer, size, inner;
};
const Size kSizes[] = {{1, 1, 1}, {3, 5, 1}, {2, 4, 3}, {1, 300, 70}, {2, 20000, 1}, {0, 3, 2}, {2, 3, 0}};

template <typename T>
class ReduceTest : public ::testing::Test {};
TYPED_TEST_SUITE(ReduceTest, Floats);

TYPED_TEST(ReduceTest, OverTheMiddle) {
  using T = TypeParam;
  for (const auto& [outer, size, inner] : kSizes) {
    const auto x = numbers(outer * size * inner, 1);
    const Array<T> in = array<T>({outer, size, inner}, x), y({outer, inner});
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::min}) {
      tested().reduce().reduce(op, in.view(), y.view());
      std::vector<double> want;
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i = 0; i < inner; ++i) {
          std::vector<double> line;
          for (int64_t s = 0; s < size; ++s) line.push_back(x[static_cast<size_t>((o * size + s) * inner + i)]);
          want.push_back(reduce(op, line));
        }
      }
      // A sum of n terms below 1 in blocks of at most some hundreds: generous for double, tight enough for float.
      const double bound = kEpsilon<T> * (op == ReduceOp::sum ? static_cast<double>(size) : 4);
      expect_close(y.values(), want, 0, op == ReduceOp::max || op == ReduceOp::min ? 0 : bound);
    }
  }
}

TYPED_TEST(ReduceTest, SumOfNothingIsZero) {
  const Array<TypeParam> x({2, 0, 3}), y({2, 3});
  tested().reduce().reduce(ReduceOp::sum, x.view(), y.view());
  EXPECT_EQ(y.values(), std::vector<TypeParam>(6, 0));
  const Array<TypeParam> row({2, 0, 1}), z({2, 1});
  tested().reduce().reduce(ReduceOp::sum, row.view(), z.view());
  EXPECT_EQ(z.values(), std::vector<TypeParam>(2, 0));
}

TYPED_TEST(ReduceTest, NotANumberIsLargestAndFirstWins) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const Array<T> x({3, 4, 1}, {T(1), T(7), T(7), T(2), T(1), nan, T(9), nan, T(-3), T(-5), T(-5), T(-4)});
  const Array<int64_t> y({3, 1});
  tested().reduce().argmax(x.view(), y.view());
  EXPECT_EQ(y.values(), (std::vector<int64_t>{1, 1, 0}));
  const Array<T> extreme({3, 1});
  for (const ReduceOp op : {ReduceOp::max, ReduceOp::min}) {
    tested().reduce().reduce(op, x.view(), extreme.view());
    EXPECT_TRUE(std::isnan(extreme.values()[1]));
  }
}

TYPED_TEST(ReduceTest, ArgmaxOverTheMiddle) {
  const int64_t outer = 3, size = 17, inner = 5;
  const auto x = numbers(outer * size * inner, 2);
  const Array<int64_t> y({outer, inner});
  tested().reduce().argmax(array<TypeParam>({outer, size, inner}, x).view(), y.view());
  const auto got = y.values();
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      const auto at = [&](int64_t s) { return x[static_cast<size_t>((o * size + s) * inner + i)]; };
      int64_t best = 0;
      for (int64_t s = 1; s < size; ++s) best = at(s) > at(best) ? s : best;
      EXPECT_EQ(got[static_cast<size_t>(o * inner + i)], best);
    }
  }
}

std::vector<double> softmax(const std::vector<double>& x, size_t size, bool log) {
  std::vector<double> y;
  for (size_t begin = 0; begin < x.size(); begin += size) {
    const double largest = *std::max_element(x.begin() + static_cast<std::ptrdiff_t>(begin),
                                             x.begin() + static_cast<std::ptrdiff_t>(begin + size));
    double sum = 0;
    for (size_t i = 0; i < size; ++i) sum += std::exp(x[begin + i] - largest);
    for (size_t i = 0; i < size; ++i) {
      const double shifted = x[begin + i] - largest;
      y.push_back(log ? shifted - std::log(sum) : std::exp(shifted) / sum);
    }
  }
  return y;
}

TYPED_TEST(ReduceTest, Softmax) {
  using T = TypeParam;
  for (const auto& [rows, size] : {std::pair<int64_t, int64_t>{0, 4}, {1, 1}, {3, 7}, {9, 1000}}) {
    const auto x = numbers(rows * size, 1, -16, 16);
    for (const bool log : {false, true}) {
      const Array<T> in = array<T>({rows, size}, x), y({rows, size});
      tested().reduce().softmax(in.view(), log, y.view());
      expect_close(y.values(), softmax(x, static_cast<size_t>(size), log), 48 * kEpsilon<T>, 8 * kEpsilon<T>);
      tested().reduce().softmax(in.view(), log, in.view());
      EXPECT_EQ(in.values(), y.values());
    }
  }
}

TYPED_TEST(ReduceTest, SoftmaxOfInfinities) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  const Array<T> x({2, 3}, {-inf, T(1), T(1), -inf, -inf, -inf}), y({2, 3});
  tested().reduce().softmax(x.view(), false, y.view());
  const auto got = y.values();
  EXPECT_EQ(got[0], T(0));
  EXPECT_EQ(got[1], T(0.5));
  for (size_t i = 3; i < 6; ++i) EXPECT_TRUE(std::isnan(got[i]));
}

TEST(Reduce, SoftmaxBackwardMatchesFiniteDifferences) {
  const int64_t rows = 3, size = 6;
  const auto x = numbers(rows * size, 1, -2, 2), dy = numbers(rows * size, 2);
  for (const bool log : {false, true}) {
    const auto forward = [&](const std::vector<double>& v) {
      const Array<double> y({rows, size});
      tested().reduce().softmax(array<double>({rows, size}, v).view(), log, y.view());
      return y;
    };
    const Array<double> dx = array<double>({rows, size}, dy);
    tested().reduce().softmax_backward(forward(x).view(), dx.view(), log, dx.view());
    expect_gradient([&](const auto& v) { return dot(forward(v).values(), dy); }, x, dx.values());
    const Array<float> single({rows, size});
    tested().reduce().softmax_backward(array<float>({rows, size}, forward(x).values()).view(),
                                       array<float>({rows, size}, dy).view(), log, single.view());
    expect_close(single.values(), dx.values(), 0, 32 * kEpsilon<float>);
  }
}

TYPED_TEST(ReduceTest, TopK) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const Array<T> x({2, 5}, {T(3), T(9), T(3), T(1), T(9), T(0), T(-1), nan, T(5), T(5)});
  const Array<T> values({2, 3});
  const Array<int64_t> indices({2, 3});
  tested().reduce().topk(x.view(), values.view(), indices.view());
  EXPECT_EQ(indices.values(), (std::vector<int64_t>{1, 4, 0, 2, 3, 4}));
  EXPECT_EQ(values.values()[2], T(3));
  EXPECT_TRUE(std::isnan(values.values()[3]));
  // All of a long row: a stable sort.
  const auto long_row = numbers(2000, 3);
  const Array<T> y({1, 2000});
  const Array<int64_t> order({1, 2000});
  tested().reduce().topk(array<T>({1, 2000}, long_row).view(), y.view(), order.view());
  std::vector<int64_t> want(2000);
  std::iota(want.begin(), want.end(), 0);
  std::stable_sort(want.begin(), want.end(), [&](int64_t a, int64_t b) {
    return long_row[static_cast<size_t>(a)] > long_row[static_cast<size_t>(b)];
  });
  EXPECT_EQ(order.values(), want);
}

TYPED_TEST(ReduceTest, Segments) {
  using T = TypeParam;
  const std::vector<int32_t> offsets{0, 3, 3, 10, 11};
  const int64_t rows = 11, size = 70;
  const auto x = numbers(rows * size, 1);
  const std::vector<double> weights{1, 0, 0.5, 1, 1, 0, 0.25, 1, -1, 1, 2};
  const Array<int32_t> on_device({5}, offsets);
  const Segments segments{offsets, on_device.view().template as<int32_t>()};
  const Array<T> in = array<T>({rows, size}, x), w = array<T>({rows}, weights), y({4, size});
  for (const bool weighted : {false, true}) {
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max}) {
      tested().reduce().segment_reduce(op, in.view(), segments, weighted ? w.view() : View{}, y.view());
      std::vector<double> want;
      for (size_t s = 0; s < 4; ++s) {
        for (int64_t i = 0; i < size; ++i) {
          std::vector<double> line;
          for (int32_t r = offsets[s]; r < offsets[s + 1]; ++r) {
            line.push_back(x[static_cast<size_t>(r * size + i)] * (weighted ? weights[static_cast<size_t>(r)] : 1));
          }
          want.push_back(line.empty() ? 0 : reduce(op, line));
        }
      }
      expect_close(y.values(), want, 0, 16 * kEpsilon<T>);
    }
  }
  EXPECT_THROW(tested().reduce().segment_reduce(ReduceOp::min, in.view(), segments, {}, y.view()), Error);
}

TEST(Reduce, Integers) {
  const Array<int64_t> x({2, 3, 1}, {1, 2, 3, -4, INT64_MAX, 5}), y({2, 1});
  tested().reduce().reduce(ReduceOp::sum, x.view(), y.view());
  EXPECT_EQ(y.values(), (std::vector<int64_t>{6, INT64_MIN}));  // wraps
  tested().reduce().reduce(ReduceOp::min, x.view(), y.view());
  EXPECT_EQ(y.values(), (std::vector<int64_t>{1, -4}));
  EXPECT_THROW(tested().reduce().reduce(ReduceOp::mean, x.view(), y.view()), Error);
}

TEST(Reduce, DoesNotDependOnThreadsOrOtherRows) {
  const int64_t size = 50000;
  const auto x = numbers(3 * size, 1);
  const auto sums = [&](int64_t first, int64_t rows) {
    const std::vector<double> part(x.begin() + first * size, x.begin() + (first + rows) * size);
    const Array<float> y({rows, 1});
    tested().reduce().reduce(ReduceOp::sum, array<float>({rows, size, 1}, part).view(), y.view());
    return y.values();
  };
  expect_same_for_any_threads<float>([&] { return sums(0, 3); });
  EXPECT_EQ(sums(2, 1)[0], sums(0, 3)[2]);
  expect_same_for_any_threads<float>([&] {
    const Array<float> y({300, 500});
    tested().reduce().softmax(array<float>({300, 500}, x).view(), false, y.view());
    return y.values();
  });
  expect_same_for_any_threads<float>([&] {
    const Array<float> y({1, 500});
    tested().reduce().reduce(ReduceOp::mean, array<float>({1, 300, 500}, x).view(), y.view());
    return y.values();
  });
}

}  // namespace
}  // namespace mica
