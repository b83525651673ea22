// Heads brought from the projections to where attention reads them: the bits of norm, turn and copy one after the
// other, on devices that do them at once.

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "mica/kernels/norm.h"
#include "mica/kernels/rotary.h"
#include "mica/kernels/shape.h"
#include "mica/tests/kernels/linear_support.h"

namespace mica {
namespace {

using namespace test;

struct Sizes {
  int64_t rows, heads, key_heads, size, half;
};

// Heads of one product's rows: queries, keys, values side by side.
View heads_of(const View& rows, int64_t first, int64_t count, int64_t size) {
  View view = rows;
  const int64_t row_stride = rows.stride(0);
  view.data = static_cast<char*>(rows.data) + first * size * item_size(rows.dtype);
  view.rank = 3;
  view.shape = {rows.size(0), count, size};
  view.strides = {row_stride, size, 1};
  return view;
}

template <typename T, typename W>
void check(const Sizes& s, RotaryLayout layout, bool normed, bool indexed, bool with_values) {
  SCOPED_TRACE(::testing::Message() << s.rows << " rows of " << s.heads << " + 2 x " << s.key_heads << " heads of "
                                    << s.size << ", half " << s.half << (normed ? ", normed" : "")
                                    << (indexed ? ", indexed" : ""));
  const int64_t all = s.heads + 2 * s.key_heads, slots = 3 * s.rows + 1;
  const auto values = [](int64_t n, uint64_t seed) { return rounded<T>(numbers(n, seed)); };
  const Array<T> rows({s.rows, all * s.size}, values(s.rows * all * s.size, 1));
  const Array<T> cos({s.rows, s.half}, values(s.rows * s.half, 2)), sin({s.rows, s.half}, values(s.rows * s.half, 3));
  const Array<W> query_weight({s.size}, rounded<W>(numbers(s.size, 4))),
      key_weight({s.size}, rounded<W>(numbers(s.size, 5)));
  std::vector<int64_t> where;
  for (int64_t row = 0; row < s.rows; ++row) where.push_back(indexed ? 3 * (s.rows - row) - 1 : row);
  const Array<int64_t> index({s.rows}, where);

  HeadRows r;
  r.query = heads_of(rows.view(), 0, s.heads, s.size);
  r.key = heads_of(rows.view(), s.heads, s.key_heads, s.size);
  if (with_values) r.value = heads_of(rows.view(), s.heads + s.key_heads, s.key_heads, s.size);
  if (normed) {
    r.query_weight = query_weight.view();
    r.key_weight = key_weight.view();
  }
  r.weight_offset = 1;
  r.eps = 1e-3;
  r.cos = cos.view();
  r.sin = sin.view();
  r.layout = layout;
  if (indexed) r.index = index.view();
  const Shape by_query{s.rows, s.heads, s.size}, by_key{slots, s.key_heads, s.size};
  const auto run = [&](bool at_once) {
    const Array<T> query(by_query), key(by_key), value(by_key);
    r.query_out = query.view();
    r.key_out = key.view();
    r.value_out = with_values ? value.view() : View{};
    if (at_once) {
      tested().rotary().place_heads(r);
    } else {
      const auto turned = [&](const View& from, const View& weight) {
        const Array<T> norm({s.rows, from.size(1), s.size}), result({s.rows, from.size(1), s.size});
        if (normed) tested().norm().rms_norm(from, weight, r.weight_offset, r.eps, norm.view(), {});
        tested().rotary().rotate(normed ? norm.view() : from, r.cos, r.sin, layout, 0, false, result.view());
        return result;
      };
      tested().shape().copy(turned(r.query, r.query_weight).view(), r.query_out);
      tested().shape().put_rows(turned(r.key, r.key_weight).view(), index.view(), r.key_out);
      if (with_values) tested().shape().put_rows(r.value, index.view(), r.value_out);
    }
    return std::array<std::vector<T>, 3>{query.values(), key.values(), value.values()};
  };
  const auto got = run(true), want = run(false);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(got[i])), std::as_bytes(std::span(want[i]))))
        << "part " << i;
  }
}

TEST(PlaceHeads, HasTheBitsOfItsSteps) {
  if (!tested().rotary().places_heads()) GTEST_SKIP() << "done step by step here";
  for (const bool normed : {false, true}) {
    for (const bool indexed : {false, true}) {
      check<float, float>({5, 4, 2, 16, 8}, RotaryLayout::half_split, normed, indexed, true);
      check<bfloat16, bfloat16>({3, 2, 1, 64, 32}, RotaryLayout::half_split, normed, indexed, true);
      check<bfloat16, float>({2, 3, 1, 80, 16}, RotaryLayout::interleaved, normed, indexed, true);
      check<float16, float16>({2, 2, 2, 10, 3}, RotaryLayout::half_split, normed, indexed, indexed);
      check<double, double>({2, 2, 1, 8, 4}, RotaryLayout::interleaved, normed, indexed, true);
    }
  }
  check<bfloat16, bfloat16>({2, 1, 1, 512, 256}, RotaryLayout::half_split, true, true, true);
  check<float, float>({0, 2, 1, 8, 4}, RotaryLayout::half_split, true, false, true);
}

}  // namespace
}  // namespace mica
