// Scans along the rows of each text, against their definitions in float64.

#include "mica/kernels/scan.h"

#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

// Texts of one tile of the device's kernel and of several, one without rows.
const std::vector<int32_t> kOffsets{0, 3, 3, 68, 69, 220};
constexpr int64_t kTexts = 5, kRows = 220;

struct Operands {
  int64_t channels;
  std::vector<double> a, b, initial;
  explicit Operands(int64_t size)
      : channels(size), a(numbers(kRows * size, 1)), b(numbers(kRows * size, 2)), initial(numbers(kTexts * size, 3)) {}
};

const Array<int32_t>& offsets_on_device() {
  static const Array<int32_t> offsets({kTexts + 1}, kOffsets);
  return offsets;
}
Segments texts() {
  return {kOffsets, offsets_on_device().view().as<int32_t>()};
}

struct Wanted {
  std::vector<double> h, da, db, dinitial;
};

// With dh = the numbers of seed 4.
Wanted wanted(const Operands& x, const std::vector<double>& dh, bool from_initial) {
  Wanted want{x.b, x.a, x.b, x.initial};
  for (size_t text = 0; text < kTexts; ++text) {
    for (int64_t c = 0; c < x.channels; ++c) {
      const auto at = [&](int64_t row) { return static_cast<size_t>(row * x.channels + c); };
      const size_t of_text = text * static_cast<size_t>(x.channels) + static_cast<size_t>(c);
      const double start = from_initial ? x.initial[of_text] : 0;
      double state = start;
      for (int64_t row = kOffsets[text]; row < kOffsets[text + 1]; ++row) {
        want.h[at(row)] = state = x.a[at(row)] * state + x.b[at(row)];
      }
      double carried = 0;
      for (int64_t row = kOffsets[text + 1] - 1; row >= kOffsets[text]; --row) {
        const double g = dh[at(row)] + carried;
        want.db[at(row)] = g;
        want.da[at(row)] = g * (row == kOffsets[text] ? start : want.h[at(row - 1)]);
        carried = x.a[at(row)] * g;
      }
      want.dinitial[of_text] = carried;
    }
  }
  return want;
}

template <typename T>
class ScanTest : public ::testing::Test {};
TYPED_TEST_SUITE(ScanTest, Floats);

// States are sums of products below 1 whose factors fall off: of random factors the sum of sizes stays below 8. Each
// term has been rounded at most twice a row of a tile of 64 before it has faded.
template <typename T>
constexpr double kBound = 8 * 2 * 64 * kEpsilon<T>;

TYPED_TEST(ScanTest, LinearAndItsGradients) {
  using T = TypeParam;
  for (const int64_t channels : {1, 32, 45}) {
    const Operands x(channels);
    const auto g = numbers(kRows * channels, 4);
    const Shape shape{kRows, channels};
    const Array<T> a = array<T>(shape, x.a), b = array<T>(shape, x.b), start = array<T>({kTexts, channels}, x.initial),
                   dh = array<T>(shape, g);
    for (const bool from_initial : {false, true}) {
      const Wanted want = wanted(x, g, from_initial);
      const View initial = from_initial ? start.view() : View{};
      const Array<T> h(shape), da(shape), db(shape), dinitial({kTexts, channels});
      tested().scan().linear(a.view(), b.view(), initial, texts(), h.view());
      expect_close(h.values(), want.h, 0, kBound<T>, "h");
      tested().scan().linear_backward(a.view(), h.view(), initial, dh.view(), texts(), da.view(), db.view(),
                                      from_initial ? dinitial.view() : View{});
      expect_close(db.values(), want.db, 0, kBound<T>, "db");
      expect_close(da.values(), want.da, 0, 16 * kBound<T>, "da");
      if (from_initial) expect_close(dinitial.values(), want.dinitial, 0, kBound<T>, "dinitial");

      // In place.
      const Array<T> both = array<T>(shape, x.b), gradient = array<T>(shape, g);
      tested().scan().linear(a.view(), both.view(), initial, texts(), both.view());
      EXPECT_EQ(both.values(), h.values());
      tested().scan().linear_backward(a.view(), h.view(), initial, gradient.view(), texts(), da.view(), gradient.view(),
                                      {});
      EXPECT_EQ(gradient.values(), db.values());
    }
  }
}

// A text has the same bits alone and among others.
TEST(Scan, DoesNotDependOnThreadsOrOtherTexts) {
  const Operands x(45);
  const Array<float> a = array<float>({kRows, 45}, x.a), b = array<float>({kRows, 45}, x.b);
  const auto all = [&] {
    const Array<float> h({kRows, 45});
    tested().scan().linear(a.view(), b.view(), {}, texts(), h.view());
    return h.values();
  };
  expect_same_for_any_threads<float>(all);
  const auto last = [](const std::vector<double>& values) {
    return std::vector<double>(values.begin() + std::ptrdiff_t{69} * 45, values.end());
  };
  const std::vector<int32_t> one{0, 151};
  const Array<int32_t> on_device({2}, one);
  const Array<float> alone_a = array<float>({151, 45}, last(x.a)), alone_b = array<float>({151, 45}, last(x.b)),
                     h({151, 45});
  tested().scan().linear(alone_a.view(), alone_b.view(), {}, {one, on_device.view().as<int32_t>()}, h.view());
  const std::vector<float> among = all();
  EXPECT_EQ(h.values(), std::vector<float>(among.begin() + std::ptrdiff_t{69} * 45, among.end()));
}

// Factors of zero forget what was before, whatever it was.
TEST(Scan, LargeStatesAreForgotten) {
  std::vector<double> a(70, 0.0), b(70, 1.0);
  b[3] = 1e38;
  const std::vector<int32_t> one{0, 70};
  const Array<int32_t> on_device({2}, one);
  const Array<float> factors = array<float>({70, 1}, a), terms = array<float>({70, 1}, b), h({70, 1});
  tested().scan().linear(factors.view(), terms.view(), {}, {one, on_device.view().as<int32_t>()}, h.view());
  expect_close(h.values(), b, 1e-6, 0, "h");
}

}  // namespace
}  // namespace mica
