// The clamped SwiGLU and the soft cap: in double, and in float32 under every SIMD target, against their formulas.

#include <algorithm>

#include "mica/kernels/activation.h"
#include "mica/tests/kernels/simd_support.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

constexpr double kLimit = 3, kAlpha = 1.702;

// Where gate and up lie in rows of 3 size + 1 elements.
enum class Layout { columns, halves, every_third };

template <typename T>
View part(const Array<T>& wide, Layout layout, int64_t rows, int64_t size, bool second) {
  const int64_t step = layout == Layout::columns ? 2 : layout == Layout::halves ? 1 : 3;
  View view = wide.view();
  view.data = view.as<T>() + (second ? (layout == Layout::halves ? size : 1) : 0);
  view.rank = 2;
  view.shape = {rows, size};
  view.strides = {3 * size + 1, step};
  return view;
}

template <typename T>
void check(Layout layout, int64_t rows, int64_t size) {
  const auto x = numbers(rows * (3 * size + 1), 1, -6, 6), d = numbers(rows * size, 2);
  const Array<T> in = array<T>({static_cast<int64_t>(x.size())}, x), y({rows, size}), dy = array<T>({rows, size}, d);
  const Array<T> dx = array<T>({static_cast<int64_t>(x.size())}, std::vector<double>(x.size(), 7));
  const View gate = part(in, layout, rows, size, false), up = part(in, layout, rows, size, true);
  const View dgate = part(dx, layout, rows, size, false), dup = part(dx, layout, rows, size, true);
  tested().activation().clamped_swiglu(gate, up, kLimit, kAlpha, y.view());
  tested().activation().clamped_swiglu_backward(gate, up, kLimit, kAlpha, dy.view(), dgate, dup);

  std::vector<double> want, bound, want_dx(x.size(), 7), dx_bound(x.size(), 0);
  const auto offset = [](const View& view, const View& from) { return view.as<T>() - from.as<T>(); };
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < size; ++i) {
      const auto at_gate = static_cast<size_t>(offset(gate, in.view()) + row * gate.stride(0) + i * gate.stride(1));
      const auto at_up = static_cast<size_t>(offset(up, in.view()) + row * up.stride(0) + i * up.stride(1));
      const double g = std::min(x[at_gate], kLimit), u = std::clamp(x[at_up], -kLimit, kLimit);
      const double s = 1 / (1 + std::exp(-kAlpha * g)), slope = d[static_cast<size_t>(row * size + i)];
      // The exponent's rounding is an error of eps |alpha g| relative to the sigmoid; a handful more roundings.
      const double error = kEpsilon<T> * (8 + 2 * kAlpha * std::abs(g));
      want.push_back((u + 1) * g * s);
      bound.push_back(error * (std::abs(u) + 1) * std::abs(g) * s);
      want_dx[at_gate] = x[at_gate] > kLimit ? 0 : slope * (u + 1) * s * (1 + kAlpha * g * (1 - s));
      dx_bound[at_gate] = error * std::abs(slope) * (std::abs(u) + 1) * s * (1 + kAlpha * std::abs(g));
      want_dx[at_up] = std::abs(x[at_up]) > kLimit ? 0 : slope * g * s;
      dx_bound[at_up] = error * std::abs(slope * g) * s;
    }
  }
  expect_close(y.values(), want, bound, "y");
  expect_close(dx.values(), want_dx, dx_bound, "dx");
}

template <typename T>
void check_all() {
  for (const Layout layout : {Layout::columns, Layout::halves, Layout::every_third}) {
    for (const auto& [rows, size] : {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {3, 17}, {2, 64}, {5, 103}}) {
      check<T>(layout, rows, size);
    }
  }
}

TEST(Swiglu, Float64) {
  check_all<double>();
}

TEST(Swiglu, Float32UnderEveryTarget) {
  for_each_target([] { check_all<float>(); });
}

template <typename T>
void check_softcap(int64_t n) {
  constexpr double kCap = 30;
  std::vector<double> x = numbers(n, 1, -100, 100);
  if (n > 3) x[0] = 1e-6, x[1] = -1e6, x[2] = 0;
  x = cast<double>(cast<T>(x));
  const Array<T> in = array<T>({n}, x), y({n}), dy = array<T>({n}, numbers(n, 2));
  tested().activation().softcap(in.view(), kCap, y.view());
  std::vector<double> want, want_dx;
  for (size_t i = 0; i < x.size(); ++i) {
    want.push_back(kCap * std::tanh(x[i] / kCap));
    const double t = static_cast<double>(y.values()[i]) / kCap;
    want_dx.push_back(static_cast<double>(dy.values()[i]) * (1 - t * t));
  }
  expect_close(y.values(), want, 6 * kEpsilon<T>, 0, "y");  // tanh's 3e-7 in float32, and two roundings
  tested().activation().softcap_backward(y.view(), dy.view(), kCap, dy.view());
  expect_close(dy.values(), want_dx, 2 * kEpsilon<T>, 2 * kEpsilon<T>, "dx");
  tested().activation().softcap(in.view(), kCap, in.view());
  EXPECT_EQ(in.values(), y.values());
}

TEST(Softcap, Float64AndFloat32UnderEveryTarget) {
  check_softcap<double>(103);
  for_each_target([] {
    for (const int64_t n : {0, 1, 17, 64, 1003}) check_softcap<float>(n);
  });
}

}  // namespace
}  // namespace mica
