// RMS norm in float and double, and in float32 under every SIMD target, against its formula in double.

#include "mica/kernels/norm.h"
#include "mica/tests/kernels/simd_support.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

// A [rows, heads, size] window into wider rows, with a gap before it and between the heads.
struct Window {
  int64_t rows, heads, size, gap;
  int64_t head_stride() const { return size + gap; }
  int64_t row_stride() const { return heads * head_stride() + 2 * gap; }
  int64_t elements() const { return rows * row_stride() + gap; }
  int64_t count() const { return rows * heads; }
  int64_t at(int64_t vector) const { return gap + vector / heads * row_stride() + vector % heads * head_stride(); }

  template <typename T>
  View of(const Array<T>& wide) const {
    View view = wide.view();
    view.data = view.as<T>() + gap;
    view.rank = heads == 1 && gap == 0 ? 2 : 3;
    view.shape =
        view.rank == 2 ? std::array<int64_t, kMaxRank>{rows, size} : std::array<int64_t, kMaxRank>{rows, heads, size};
    view.strides = view.rank == 2 ? std::array<int64_t, kMaxRank>{row_stride(), 1}
                                  : std::array<int64_t, kMaxRank>{row_stride(), head_stride(), 1};
    return view;
  }
};

struct Case {
  Window window;
  double offset = 0;
  bool weighted = true;
  std::vector<double> x, weight, dy;  // x: the wide rows

  Case(const Window& w, double weight_offset, bool with_weight)
      : window(w), offset(weight_offset), weighted(with_weight) {
    x = numbers(w.elements(), 1, -2, 2);
    weight = numbers(w.size, 2, 0.5, 1.5);
    dy = numbers(w.count() * w.size, 3);
  }
  double factor(int64_t i) const { return weighted ? offset + weight[static_cast<size_t>(i)] : 1; }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Window& window : {Window{0, 1, 8, 0}, Window{1, 1, 1, 0}, Window{3, 1, 5, 0}, Window{5, 3, 17, 0},
                               Window{4, 2, 64, 3}, Window{70, 3, 33, 5}, Window{9, 1, 768, 7}, Window{2, 1, 515, 0}}) {
    all.emplace_back(window, 0, true);
    all.emplace_back(window, 1, true);
    all.emplace_back(window, 0, false);
    all.emplace_back(window, 1, false);  // without weight there's nothing to offset
  }
  return all;
}

constexpr double kEps = 1e-4;

// The size - 1 additions of positive terms and a dozen roundings: relative in the sum, half of it in its root.
template <typename T>
double relative_bound(int64_t size) {
  return kEpsilon<T> * (static_cast<double>(size) / 2 + 8);
}

template <typename T>
void check_forward(const Case& c) {
  const Window& w = c.window;
  const Array<T> x = array<T>({w.elements()}, c.x), weight = array<T>({w.size}, c.weight);
  const Array<T> y({w.rows, w.heads, w.size}), rstd({w.count()});
  const View parameter = c.weighted ? weight.view() : View{};
  tested().norm().rms_norm(w.of(x), parameter, c.offset, kEps, y.view(), rstd.view());
  std::vector<double> want, want_rstd;
  for (int64_t v = 0; v < w.count(); ++v) {
    const double* from = c.x.data() + w.at(v);
    double squares = 0;
    for (int64_t i = 0; i < w.size; ++i) squares += from[i] * from[i];
    want_rstd.push_back(1 / std::sqrt(squares / static_cast<double>(w.size) + kEps));
    for (int64_t i = 0; i < w.size; ++i) want.push_back(from[i] * want_rstd.back() * c.factor(i));
  }
  expect_close(y.values(), want, relative_bound<T>(w.size), 0, "y");
  expect_close(rstd.values(), want_rstd, relative_bound<T>(w.size), 0, "rstd");
  const Array<T> again({w.rows, w.heads, w.size});
  tested().norm().rms_norm(w.of(x), parameter, c.offset, kEps, again.view(), {});
  EXPECT_EQ(again.values(), y.values());
  EXPECT_EQ(x.values(), cast<T>(c.x)) << "x has changed";
}

template <typename T>
void check_backward(const Case& c) {
  const Window& w = c.window;
  const Array<T> x = array<T>({w.elements()}, c.x), weight = array<T>({w.size}, c.weight);
  const Array<T> y({w.rows, w.heads, w.size}), rstd({w.count()}), dweight({w.size});
  const Array<T> dx = array<T>({w.rows, w.heads, w.size}, c.dy);  // dx is dy
  const View parameter = c.weighted ? weight.view() : View{};
  tested().norm().rms_norm(w.of(x), parameter, c.offset, kEps, y.view(), rstd.view());
  tested().norm().rms_norm_backward(dx.view(), w.of(x), rstd.view(), parameter, c.offset, dx.view(), dweight.view());
  std::vector<double> want, bound, want_weight(static_cast<size_t>(w.size)), weight_bound(want_weight);
  const auto size = static_cast<double>(w.size);
  for (int64_t v = 0; v < w.count(); ++v) {
    const double* from = c.x.data() + w.at(v);
    const double* dy = c.dy.data() + v * w.size;
    double squares = 0, products = 0, magnitude = 0;
    for (int64_t i = 0; i < w.size; ++i) squares += from[i] * from[i];
    const double r = 1 / std::sqrt(squares / size + kEps);
    for (int64_t i = 0; i < w.size; ++i) {
      const double product = dy[i] * c.factor(i) * from[i] * r;
      products += product;
      magnitude += std::abs(product);
      want_weight[static_cast<size_t>(i)] += dy[i] * from[i] * r;
      weight_bound[static_cast<size_t>(i)] +=
          std::abs(dy[i] * from[i] * r) * (static_cast<double>(w.count()) + size + 8) * kEpsilon<T>;
    }
    for (int64_t i = 0; i < w.size; ++i) {
      const double g = dy[i] * c.factor(i), normal = from[i] * r;
      want.push_back(r * (g - normal * products / size));
      bound.push_back(r * (std::abs(g) + std::abs(normal) * magnitude / size) * (size + 16) * kEpsilon<T>);
    }
  }
  expect_close(dx.values(), want, bound, "dx");
  expect_close(dweight.values(), want_weight, weight_bound, "dweight");
}

TEST(RmsNorm, Float64) {
  for (const Case& c : cases()) {
    check_forward<double>(c);
    check_backward<double>(c);
  }
}

TEST(RmsNorm, Float32UnderEveryTarget) {
  for_each_target([] {
    for (const Case& c : cases()) {
      check_forward<float>(c);
      check_backward<float>(c);
    }
  });
}

TEST(RmsNorm, ResultMayTakeThePlaceOfX) {
  const Array<float> x = array<float>({3, 21}, numbers(63, 1)), y({3, 21});
  tested().norm().rms_norm(x.view(), {}, 0, kEps, y.view(), {});
  tested().norm().rms_norm(x.view(), {}, 0, kEps, x.view(), {});
  EXPECT_EQ(x.values(), y.values());
}

TEST(RmsNorm, DoesNotDependOnThreadsOrOtherRows) {
  const Window w{200, 3, 50, 4};
  const Case c(w, 1, true);
  const auto run = [&](int64_t first, int64_t count) {
    const Array<float> x = array<float>({w.elements()}, c.x), weight = array<float>({w.size}, c.weight);
    View part = w.of(x);
    part.data = part.as<float>() + first * w.row_stride();
    part.shape[0] = count;
    const Array<float> y({count, w.heads, w.size}), rstd({count * w.heads}), dweight({w.size});
    tested().norm().rms_norm(part, weight.view(), 1, kEps, y.view(), rstd.view());
    std::vector<float> all = y.values();
    if (count < w.rows) return all;
    tested().norm().rms_norm_backward(y.view(), part, rstd.view(), weight.view(), 1, y.view(), dweight.view());
    for (const auto& more : {y.values(), dweight.values()}) all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  expect_same_for_any_threads<float>([&] { return run(0, w.rows); });
  const auto all = run(0, w.rows), some = run(17, 5);
  EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 17 * w.heads * w.size));
}

}  // namespace
}  // namespace mica
