// Rotary position embedding in double, and in float32 under every SIMD target, against its formula.

#include "mica/kernels/rotary.h"

#include "mica/tests/kernels/simd_support.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

struct Sizes {
  int64_t rows, heads, head_size, half, offset;
};

// Whole and partial rotation, at the front, inside and at the end of a head; none at all; sizes off the vectors'.
constexpr Sizes kSizes[] = {{3, 2, 8, 4, 0},    {2, 3, 64, 32, 0}, {5, 1, 80, 16, 0}, {4, 2, 70, 17, 1},
                            {4, 2, 50, 21, 8},  {1, 1, 2, 1, 0},   {2, 2, 7, 0, 3},   {40, 5, 66, 33, 0},
                            {3, 2, 96, 16, 64}, {0, 2, 8, 4, 0}};

template <typename T>
void check(const Sizes& s, RotaryLayout layout, bool inverse) {
  // Slices of wider rows: two heads more a row, and a table with a column too many.
  const int64_t row_stride = (s.heads + 2) * s.head_size, table_stride = s.half + 1;
  const auto x = numbers(s.rows * row_stride, 1), cos = numbers(s.rows * table_stride, 2),
             sin = numbers(s.rows * table_stride, 3);
  const auto table = [&](const Array<T>& values) {
    View view = values.view();
    view.rank = 2;
    view.shape = {s.rows, s.half};
    view.strides = {table_stride, 1};
    return view;
  };
  const auto heads = [&](const Array<T>& values) {
    View view = values.view();
    view.rank = 3;
    view.shape = {s.rows, s.heads, s.head_size};
    view.strides = {row_stride, s.head_size, 1};
    return view;
  };
  const Array<T> in = array<T>({s.rows * row_stride}, x);
  const Array<T> c = array<T>({s.rows * table_stride}, cos), sn = array<T>({s.rows * table_stride}, sin);
  const Array<T> y({s.rows, s.heads, s.head_size});
  tested().rotary().rotate(heads(in), table(c), table(sn), layout, s.offset, inverse, y.view());

  std::vector<double> want, bound;
  for (int64_t row = 0; row < s.rows; ++row) {
    for (int64_t head = 0; head < s.heads; ++head) {
      const double* from = x.data() + row * row_stride + head * s.head_size;
      std::vector<double> to(from, from + s.head_size), error(to.size(), 0);
      for (int64_t i = 0; i < s.half; ++i) {
        const auto a = static_cast<size_t>(s.offset + (layout == RotaryLayout::interleaved ? 2 * i : i));
        const auto b = static_cast<size_t>(s.offset + (layout == RotaryLayout::interleaved ? 2 * i + 1 : i + s.half));
        const double cosine = cos[static_cast<size_t>(row * table_stride + i)];
        const double sine = sin[static_cast<size_t>(row * table_stride + i)] * (inverse ? -1 : 1);
        to[a] = cosine * from[a] - sine * from[b];
        to[b] = sine * from[a] + cosine * from[b];
        // Two products and a sum, each rounded once.
        error[a] = kEpsilon<T> * (std::abs(cosine * from[a]) + std::abs(sine * from[b]));
        error[b] = kEpsilon<T> * (std::abs(sine * from[a]) + std::abs(cosine * from[b]));
      }
      want.insert(want.end(), to.begin(), to.end());
      bound.insert(bound.end(), error.begin(), error.end());
    }
  }
  expect_close(y.values(), want, bound);
  EXPECT_EQ(in.values(), cast<T>(x)) << "x has changed";

  tested().rotary().rotate(heads(in), table(c), table(sn), layout, s.offset, inverse, heads(in));  // in place
  const std::vector<T> once = y.values(), inside = in.values();
  for (int64_t row = 0; row < s.rows; ++row) {
    const auto from = inside.begin() + row * row_stride;
    EXPECT_TRUE(std::equal(from, from + s.heads * s.head_size, once.begin() + row * s.heads * s.head_size));
    for (int64_t i = s.heads * s.head_size; i < row_stride; ++i) {
      EXPECT_EQ(from[i], static_cast<T>(x[static_cast<size_t>(row * row_stride + i)])) << "written beyond the heads";
    }
  }
}

template <typename T>
void check_all() {
  for (const Sizes& sizes : kSizes) {
    for (const RotaryLayout layout : {RotaryLayout::half_split, RotaryLayout::interleaved}) {
      for (const bool inverse : {false, true}) check<T>(sizes, layout, inverse);
    }
  }
}

TEST(Rotary, Float64) {
  check_all<double>();
}

TEST(Rotary, Float32UnderEveryTarget) {
  for_each_target([] { check_all<float>(); });
}

TEST(Rotary, OneTableRowMayServeAllRows) {
  const Array<float> x = array<float>({4, 1, 4}, numbers(16, 1)), y({4, 1, 4}), z({4, 1, 4});
  const Array<float> one({1, 2}, {0.5F, 0.25F}), four({4, 2}, {0.5F, 0.25F, 0.5F, 0.25F, 0.5F, 0.25F, 0.5F, 0.25F});
  View repeated = one.view();
  repeated.shape[0] = 4;
  repeated.strides[0] = 0;
  tested().rotary().rotate(x.view(), repeated, repeated, RotaryLayout::half_split, 0, false, y.view());
  tested().rotary().rotate(x.view(), four.view(), four.view(), RotaryLayout::half_split, 0, false, z.view());
  EXPECT_EQ(y.values(), z.values());
}

TEST(Rotary, DoesNotDependOnThreads) {
  expect_same_for_any_threads<float>([] {
    const Array<float> x = array<float>({400, 3, 70}, numbers(400 * 3 * 70, 1));
    const Array<float> table = array<float>({400, 33}, numbers(400 * 33, 2));
    tested().rotary().rotate(x.view(), table.view(), table.view(), RotaryLayout::interleaved, 2, false, x.view());
    return x.values();
  });
}

}  // namespace
}  // namespace mica
