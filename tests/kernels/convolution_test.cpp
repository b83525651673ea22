// Convolutions over the tokens of each text, against their definitions in float64.

#include "mica/kernels/convolution.h"

#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

// Short and long texts, one without rows, one that ends beside a strip's border.
const std::vector<int32_t> kOffsets{0, 3, 3, 24, 25, 60};
constexpr int64_t kRows = 60;

struct Case {
  int64_t channels, kernel_size, before;
};
const std::vector<Case> kCases{{1, 1, 0}, {5, 3, 1}, {130, 3, 1}, {70, 4, 3}, {33, 9, 4}, {3, 20, 7}, {6, 45, 0}};

const Array<int32_t>& offsets_on_device() {
  static const Array<int32_t> offsets({static_cast<int64_t>(kOffsets.size())}, kOffsets);
  return offsets;
}
Segments texts() {
  return {kOffsets, offsets_on_device().view().as<int32_t>()};
}

// body(row, k, at) for each tap k of each row that reads a row `at` of its text.
template <typename Body>
void each_tap(int64_t kernel_size, int64_t before, const Body& body) {
  for (size_t text = 0; text + 1 < kOffsets.size(); ++text) {
    for (int64_t row = kOffsets[text]; row < kOffsets[text + 1]; ++row) {
      for (int64_t k = 0; k < kernel_size; ++k) {
        const int64_t at = row + k - before;
        if (at >= kOffsets[text] && at < kOffsets[text + 1]) body(row, k, at);
      }
    }
  }
}

template <typename T>
class ConvolutionTest : public ::testing::Test {};
TYPED_TEST_SUITE(ConvolutionTest, Floats);

// A sum of n products of numbers below 1 is off by n roundings of at most n / 2 each.
template <typename T>
double bound(int64_t n) {
  const auto terms = static_cast<double>(n + 1);
  return terms * terms * kEpsilon<T>;
}

TYPED_TEST(ConvolutionTest, Depthwise) {
  using T = TypeParam;
  for (const auto& [channels, kernel_size, before] : kCases) {
    const auto x = numbers(kRows * channels, 1), w = numbers(channels * kernel_size, 2), b = numbers(channels, 3);
    const Array<T> in = array<T>({kRows, channels}, x), weight = array<T>({channels, kernel_size}, w),
                   bias = array<T>({channels}, b);
    for (const bool flipped : {false, true}) {
      for (const bool biased : {false, true}) {
        std::vector<double> want(x.size(), 0.0);
        for (size_t i = 0; i < want.size(); ++i) want[i] = biased ? b[i % static_cast<size_t>(channels)] : 0;
        each_tap(kernel_size, before, [&, channels = channels, kernel_size = kernel_size](auto row, auto k, auto at) {
          const int64_t tap = flipped ? kernel_size - 1 - k : k;
          for (int64_t c = 0; c < channels; ++c) {
            want[static_cast<size_t>(row * channels + c)] +=
                w[static_cast<size_t>(c * kernel_size + tap)] * x[static_cast<size_t>(at * channels + c)];
          }
        });
        const Array<T> y({kRows, channels});
        tested().convolution().depthwise(in.view(), texts(), weight.view(), biased ? bias.view() : View{}, before,
                                         flipped, y.view());
        expect_close(y.values(), want, 0, bound<T>(kernel_size), "depthwise");
      }
    }
  }
}

TYPED_TEST(ConvolutionTest, DepthwiseGradientsOfItsParameters) {
  using T = TypeParam;
  for (const auto& [channels, kernel_size, before] : kCases) {
    const auto x = numbers(kRows * channels, 1), g = numbers(kRows * channels, 2);
    std::vector<double> of_weight(static_cast<size_t>(channels * kernel_size)), of_bias(static_cast<size_t>(channels));
    each_tap(kernel_size, before, [&, channels = channels, kernel_size = kernel_size](auto row, auto k, auto at) {
      for (int64_t c = 0; c < channels; ++c) {
        of_weight[static_cast<size_t>(c * kernel_size + k)] +=
            g[static_cast<size_t>(row * channels + c)] * x[static_cast<size_t>(at * channels + c)];
      }
    });
    for (size_t i = 0; i < g.size(); ++i) of_bias[i % static_cast<size_t>(channels)] += g[i];
    const Array<T> in = array<T>({kRows, channels}, x), dy = array<T>({kRows, channels}, g);
    for (const bool biased : {false, true}) {
      const Array<T> dweight({channels, kernel_size}), dbias({channels});
      tested().convolution().depthwise_backward(in.view(), dy.view(), texts(), before, dweight.view(),
                                                biased ? dbias.view() : View{});
      expect_close(dweight.values(), of_weight, 0, bound<T>(kRows), "dweight");
      if (biased) expect_close(dbias.values(), of_bias, 0, bound<T>(kRows), "dbias");
    }
  }
}

TYPED_TEST(ConvolutionTest, UnfoldAndFold) {
  using T = TypeParam;
  for (const auto& [channels, kernel_size, before] : kCases) {
    for (int64_t groups = 1; groups <= channels; ++groups) {
      if (channels % groups != 0 || (channels > 10 && groups > 2)) continue;
      const int64_t part = channels / groups;
      const auto x = numbers(kRows * channels, 1), g = numbers(kRows * channels * kernel_size, 2);
      std::vector<double> unfolded(g.size(), 0.0), folded(x.size(), 0.0);
      each_tap(kernel_size, before, [&, channels = channels, kernel_size = kernel_size](auto row, auto k, auto at) {
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t to = ((c / part * kRows + row) * part + c % part) * kernel_size + k, from = at * channels + c;
          unfolded[static_cast<size_t>(to)] = x[static_cast<size_t>(from)];
          folded[static_cast<size_t>(from)] += g[static_cast<size_t>(to)];
        }
      });
      const Array<T> in = array<T>({kRows, channels}, x), y({groups, kRows, part * kernel_size}),
                     dy = array<T>({groups, kRows, part * kernel_size}, g), dx({kRows, channels});
      tested().convolution().unfold(in.view(), texts(), before, y.view());
      expect_close(y.values(), unfolded, 0, 0, "unfold");
      tested().convolution().fold(dy.view(), texts(), before, dx.view());
      expect_close(dx.values(), folded, 0, bound<T>(kernel_size), "fold");
    }
  }
}

TEST(Convolution, DoesNotDependOnThreads) {
  const int64_t channels = 70, kernel_size = 5;
  const Array<float> x = array<float>({kRows, channels}, numbers(kRows * channels, 1)),
                     w = array<float>({channels, kernel_size}, numbers(channels * kernel_size, 2));
  expect_same_for_any_threads<float>([&] {
    const Array<float> y({kRows, channels}), dw({channels, kernel_size}), db({channels});
    tested().convolution().depthwise(x.view(), texts(), w.view(), {}, 2, false, y.view());
    tested().convolution().depthwise_backward(x.view(), y.view(), texts(), 2, dw.view(), db.view());
    std::vector<float> all = y.values();
    for (const std::vector<float>& more : {dw.values(), db.values()}) all.insert(all.end(), more.begin(), more.end());
    return all;
  });
}

// More rows than a device takes at once: blocks go on to further rows.
TEST(Convolution, OfManyRows) {
  const std::vector<int32_t> offsets{0, 5000, 8300};
  const Array<int32_t> on_device({3}, offsets);
  const int64_t rows = 8300;
  for (const int64_t kernel_size : {3, 17}) {
    const auto x = numbers(rows, 1), w = numbers(kernel_size, 2);
    std::vector<double> want(x.size(), 0.0);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t k = 0; k < kernel_size; ++k) {
        const int64_t at = row + k - 2;
        const bool same_text = at >= 0 && at < rows && (at < 5000) == (row < 5000);
        if (same_text) want[static_cast<size_t>(row)] += w[static_cast<size_t>(k)] * x[static_cast<size_t>(at)];
      }
    }
    const Array<float> in = array<float>({rows, 1}, x), weight = array<float>({1, kernel_size}, w), y({rows, 1});
    tested().convolution().depthwise(in.view(), {offsets, on_device.view().as<int32_t>()}, weight.view(), {}, 2, false,
                                     y.view());
    expect_close(y.values(), want, 0, bound<float>(kernel_size), "depthwise");
  }
}

TEST(Convolution, WithoutRows) {
  const std::vector<int32_t> none{0, 0};
  const Array<int32_t> on_device({2}, none);
  const Segments empty{none, on_device.view().as<int32_t>()};
  const Array<float> x({0, 3}), w = array<float>({3, 2}, numbers(6, 1)), y({0, 3}), dw({3, 2}), db({3});
  tested().convolution().depthwise(x.view(), empty, w.view(), {}, 1, false, y.view());
  tested().convolution().depthwise_backward(x.view(), y.view(), empty, 1, dw.view(), db.view());
  EXPECT_EQ(dw.values(), std::vector<float>(6, 0));
  EXPECT_EQ(db.values(), std::vector<float>(3, 0));
}

}  // namespace
}  // namespace mica
