#include "mica/kernels/elementwise.h"

#include <cstdint>

#include "mica/base/error.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

View transposed(View view) {
  std::swap(view.shape[0], view.shape[1]);
  std::swap(view.strides[0], view.strides[1]);
  return view;
}

View broadcast(View view, int dim, int64_t size) {
  view.shape[static_cast<size_t>(dim)] = size;
  view.strides[static_cast<size_t>(dim)] = 0;
  return view;
}

double apply(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::subtract:
      return a - b;
    case BinaryOp::multiply:
      return a * b;
    case BinaryOp::divide:
      return a / b;
    case BinaryOp::maximum:
      return std::max(a, b);
    case BinaryOp::minimum:
      return std::min(a, b);
  }
  return NAN;
}

template <typename T>
class ElementwiseTest : public ::testing::Test {};
TYPED_TEST_SUITE(ElementwiseTest, Floats);

TYPED_TEST(ElementwiseTest, BinaryWithBroadcastAndStrides) {
  using T = TypeParam;
  const int64_t rows = 5, columns = 7;
  const auto a = numbers(rows * columns, 1), b = numbers(rows * columns, 2, 1, 2);
  const Array<T> first = array<T>({rows, columns}, a);
  const Array<T> whole = array<T>({rows, columns}, b);
  const Array<T> row = array<T>({1, columns}, {b.begin(), b.begin() + columns});
  const Array<T> column = array<T>({rows, 1}, {b.begin(), b.begin() + rows});
  const Array<T> flipped = array<T>({columns, rows}, b);
  const auto at = [&](size_t i, size_t j, int kind) {
    const auto n = static_cast<size_t>(columns);
    return kind == 0 ? b[i * n + j] : kind == 1 ? b[j] : kind == 2 ? b[i] : b[j * static_cast<size_t>(rows) + i];
  };
  const View seconds[] = {whole.view(), broadcast(row.view(), 0, rows), broadcast(column.view(), 1, columns),
                          transposed(flipped.view())};
  for (int op = 0; op <= static_cast<int>(BinaryOp::minimum); ++op) {
    for (int kind = 0; kind < 4; ++kind) {
      std::vector<double> want, swapped;
      for (size_t i = 0; i < static_cast<size_t>(rows); ++i) {
        for (size_t j = 0; j < static_cast<size_t>(columns); ++j) {
          const double p = a[i * static_cast<size_t>(columns) + j], q = at(i, j, kind);
          want.push_back(apply(static_cast<BinaryOp>(op), p, q));
        }
      }
      const Array<T> y({rows, columns});
      tested().elementwise().binary(static_cast<BinaryOp>(op), first.view(), seconds[kind], y.view());
      expect_close(y.values(), want, kEpsilon<T>, 0);
      const Array<T> in_place = array<T>({rows, columns}, a);
      tested().elementwise().binary(static_cast<BinaryOp>(op), in_place.view(), seconds[kind], in_place.view());
      EXPECT_EQ(in_place.values(), y.values());
      // Into a transposed result.
      const Array<T> other({columns, rows});
      tested().elementwise().binary(static_cast<BinaryOp>(op), first.view(), seconds[kind], transposed(other.view()));
      const auto got = other.values(), straight = y.values();
      for (size_t i = 0; i < static_cast<size_t>(rows); ++i) {
        for (size_t j = 0; j < static_cast<size_t>(columns); ++j) {
          EXPECT_EQ(got[j * static_cast<size_t>(rows) + i], straight[i * static_cast<size_t>(columns) + j]);
        }
      }
    }
  }
}

TYPED_TEST(ElementwiseTest, NotANumberWinsMaximumAndMinimum) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const Array<T> a({3}, {nan, T(1), T(2)}), b({3}, {T(1), nan, T(5)}), y({3});
  tested().elementwise().binary(BinaryOp::maximum, a.view(), b.view(), y.view());
  EXPECT_TRUE(std::isnan(y.values()[0]) && std::isnan(y.values()[1]) && y.values()[2] == T(5));
  tested().elementwise().binary(BinaryOp::minimum, a.view(), b.view(), y.view());
  EXPECT_TRUE(std::isnan(y.values()[0]) && std::isnan(y.values()[1]) && y.values()[2] == T(2));
}

TYPED_TEST(ElementwiseTest, Unary) {
  using T = TypeParam;
  const auto x = numbers(33, 5, 0.25, 4);
  const std::vector<std::pair<UnaryOp, double (*)(double)>> ops = {
      {UnaryOp::negate, [](double v) { return -v; }},
      {UnaryOp::exp, [](double v) { return std::exp(v); }},
      {UnaryOp::log, [](double v) { return std::log(v); }},
      {UnaryOp::sqrt, [](double v) { return std::sqrt(v); }},
      {UnaryOp::rsqrt, [](double v) { return 1 / std::sqrt(v); }},
      {UnaryOp::abs, [](double v) { return std::abs(v); }},
      {UnaryOp::square, [](double v) { return v * v; }},
      {UnaryOp::reciprocal, [](double v) { return 1 / v; }},
      {UnaryOp::tanh, [](double v) { return std::tanh(v); }}};
  for (const auto& [op, f] : ops) {
    std::vector<double> want;
    for (const double v : x) want.push_back(f(v));
    const Array<T> in = array<T>({3, 11}, x), y({3, 11});
    tested().elementwise().unary(op, in.view(), y.view());
    expect_close(y.values(), want, 4 * kEpsilon<T>, kEpsilon<T>);
    tested().elementwise().unary(op, in.view(), in.view());
    EXPECT_EQ(in.values(), y.values());
  }
}

TYPED_TEST(ElementwiseTest, Affine) {
  using T = TypeParam;
  const auto x = numbers(10, 5);
  std::vector<double> want;
  for (const double v : x) want.push_back(0.5 * v - 3);
  const Array<T> in = array<T>({2, 5}, x), y({2, 5});
  tested().elementwise().affine(in.view(), 0.5, -3, y.view());
  expect_close(y.values(), want, kEpsilon<T>, 0);
}

TEST(Elementwise, IntegersWrapAndDivideWithoutTraps) {
  const int64_t low = INT64_MIN;
  const Array<int64_t> a({4}, {low, INT64_MAX, 7, -7}), b({4}, {-1, 1, 2, 2}), y({4});
  const auto run = [&](BinaryOp op) {
    tested().elementwise().binary(op, a.view(), b.view(), y.view());
    return y.values();
  };
  EXPECT_EQ(run(BinaryOp::add), (std::vector<int64_t>{INT64_MAX, low, 9, -5}));
  EXPECT_EQ(run(BinaryOp::divide), (std::vector<int64_t>{low, INT64_MAX, 3, -3}));
  EXPECT_EQ(run(BinaryOp::minimum), (std::vector<int64_t>{low, 1, 2, -7}));
  const Array<int32_t> c({2}, {INT32_MIN, 5}), d({2}, {-1, 2}), z({2});
  tested().elementwise().binary(BinaryOp::divide, c.view(), d.view(), z.view());
  EXPECT_EQ(z.values(), (std::vector<int32_t>{INT32_MIN, 2}));
  const Array<int32_t> zero({2}, {0, 0});
  EXPECT_THROW((tested().elementwise().binary(BinaryOp::divide, c.view(), zero.view(), z.view()),
                tested().queue().synchronize()),
               Error);
}

template <typename T>
void check_compare(DType dtype) {
  const Array<T> a({3}, {T(1), T(0), T(1)}), b({3}, {T(1), T(1), T(0)});
  const Array<uint8_t> y({3});
  const std::vector<std::vector<uint8_t>> want{{1, 0, 0}, {0, 1, 1}, {0, 1, 0}, {1, 1, 0}, {0, 0, 1}, {1, 0, 1}};
  for (size_t op = 0; op < want.size(); ++op) {
    tested().elementwise().compare(static_cast<CompareOp>(op), a.view(dtype), b.view(dtype), y.boolean());
    EXPECT_EQ(y.values(), want[op]) << op;
  }
}

TEST(Elementwise, Compare) {
  check_compare<float>(DType::float32);
  check_compare<double>(DType::float64);
  check_compare<int64_t>(DType::int64);
  check_compare<int32_t>(DType::int32);
  check_compare<uint8_t>(DType::boolean);
}

template <typename T>
void check_where() {
  const Array<uint8_t> condition({2, 3}, {1, 0, 1, 0, 0, 1});
  const Array<T> a({2, 3}, {T(1), T(2), T(3), T(4), T(5), T(6)}), b({1, 1}, {T(9)}), y({2, 3});
  tested().elementwise().where(condition.boolean(), a.view(), broadcast(broadcast(b.view(), 0, 2), 1, 3), y.view());
  EXPECT_EQ(y.values(), (std::vector<T>{T(1), T(9), T(3), T(9), T(9), T(6)}));
}

TEST(Elementwise, Where) {
  check_where<float>();
  check_where<double>();
  check_where<int64_t>();
  check_where<int16_t>();
  check_where<uint8_t>();
}

TEST(Elementwise, NothingToDoAndScalars) {
  const Array<float> none({0, 3}), one({}, {2.0F}), y({});
  tested().elementwise().binary(BinaryOp::add, none.view(), none.view(), none.view());
  tested().elementwise().binary(BinaryOp::add, one.view(), one.view(), y.view());
  EXPECT_EQ(y.values()[0], 4.0F);
}

TEST(Elementwise, LongRunsDoNotDependOnThreads) {
  const int64_t n = 100003;
  const auto a = numbers(n, 1), b = numbers(n, 2);
  expect_same_for_any_threads<float>([&] {
    const Array<float> y({n});
    tested().elementwise().binary(BinaryOp::multiply, array<float>({n}, a).view(), array<float>({n}, b).view(),
                                  y.view());
    return y.values();
  });
}

}  // namespace
}  // namespace mica
