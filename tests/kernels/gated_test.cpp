// activation(gate) * up and its gradients: against activation alone, whose own tests stand beside this one.

#include "mica/kernels/activation.h"
#include "mica/tests/kernels/simd_support.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

// Columns [first, first + size) of rows of `row` elements.
template <typename T>
View columns(const Array<T>& wide, int64_t rows, int64_t row, int64_t first, int64_t size) {
  View view = wide.view();
  view.data = view.as<T>() + first;
  view.rank = 2;
  view.shape = {rows, size};
  view.strides = {row, 1};
  return view;
}

// Both halves of one product, the gradients into both halves of another, with a spare column behind.
template <typename T>
void check(Activation activation, int64_t rows, int64_t size) {
  const int64_t row = 2 * size + 1;
  const auto both = numbers(rows * row, 1, -4, 4), d = numbers(rows * size, 2);
  const Array<T> in = array<T>({rows, row}, both), y({rows, size}), dy = array<T>({rows, size}, d);
  const Array<T> dx = array<T>({rows, row}, std::vector<double>(both.size(), 7));
  const View gate = columns(in, rows, row, 0, size), up = columns(in, rows, row, size, size);
  tested().activation().gated(activation, gate, up, y.view());
  tested().activation().gated_backward(activation, gate, up, dy.view(), columns(dx, rows, row, 0, size),
                                       columns(dx, rows, row, size, size));

  std::vector<double> gates, values, slopes;
  for (int64_t r = 0; r < rows; ++r) gates.insert(gates.end(), both.begin() + r * row, both.begin() + r * row + size);
  const Array<double> g = array<double>({rows, size}, gates), value({rows, size}), slope({rows, size});
  const Array<double> ones = array<double>({rows, size}, std::vector<double>(gates.size(), 1));
  tested().activation().forward(activation, g.view(), value.view());
  tested().activation().backward(activation, g.view(), ones.view(), slope.view());
  values = value.values();
  slopes = slope.values();
  std::vector<double> want, bound, want_dx, dx_bound;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> dup, dup_bound;
    for (int64_t i = 0; i < size; ++i) {
      const auto k = static_cast<size_t>(r * size + i);
      const double u = both[static_cast<size_t>(r * row + size + i)];
      // The activation's own bounds (a few roundings of its argument or value), times the other factors.
      const double error = 8 * kEpsilon<T> * std::max({1.0, std::abs(gates[k]), std::abs(values[k])});
      const double slope_error = 8 * kEpsilon<T> * std::max({8.0, std::abs(slopes[k])});
      want.push_back(values[k] * u);
      bound.push_back(error * std::abs(u) + kEpsilon<T> * std::abs(want.back()));
      want_dx.push_back(d[k] * u * slopes[k]);
      dx_bound.push_back(slope_error * std::abs(d[k] * u) + 2 * kEpsilon<T> * std::abs(want_dx.back()));
      dup.push_back(d[k] * values[k]);
      dup_bound.push_back(error * std::abs(d[k]) + kEpsilon<T> * std::abs(dup.back()));
    }
    want_dx.insert(want_dx.end(), dup.begin(), dup.end());
    dx_bound.insert(dx_bound.end(), dup_bound.begin(), dup_bound.end());
    want_dx.push_back(7);  // the spare column
    dx_bound.push_back(0);
  }
  expect_close(y.values(), want, bound, std::string(name(activation)).c_str());
  expect_close(dx.values(), want_dx, dx_bound, std::string(name(activation)).c_str());
}

template <typename T>
void check_all() {
  for (int i = 0; i <= static_cast<int>(kLastActivation); ++i) {
    for (const auto& [rows, size] : {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {3, 17}, {2, 64}, {5, 103}}) {
      check<T>(static_cast<Activation>(i), rows, size);
    }
  }
}

TEST(Gated, Float64) {
  check_all<double>();
}

TEST(Gated, Float32UnderEveryTarget) {
  for_each_target([] { check_all<float>(); });
}

TEST(Gated, LongRowsAreSharedByThreads) {
  check<float>(Activation::silu, 3, 20001);
  expect_same_for_any_threads<float>([] {
    const Array<float> gate = array<float>({3, 20001}, numbers(60003, 1, -4, 4)), up = gate, y({3, 20001});
    tested().activation().gated(Activation::gelu, gate.view(), up.view(), y.view());
    return y.values();
  });
}

}  // namespace
}  // namespace mica
