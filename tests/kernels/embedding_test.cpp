#include "mica/kernels/embedding.h"

#include "mica/base/error.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

const std::vector<int64_t> kIds{4, 0, 2, 2, 4, 1, 2};
constexpr int64_t kCount = 7, kRows = 5, kSize = 70;

template <typename Table, typename Y>
void check_forward() {
  std::vector<Table> values;
  for (const double v : numbers(kRows * kSize, 1)) values.push_back(Table(static_cast<float>(v)));
  const Array<Table> table({kRows, kSize}, values);
  const Array<int64_t> ids({kCount}, kIds);
  const Array<Y> y({kCount, kSize});
  tested().embedding().forward(table.view(), ids.view(), y.view());
  const auto got = y.values();
  for (size_t i = 0; i < kIds.size(); ++i) {
    for (size_t j = 0; j < kSize; ++j) {
      const Table expected = values[static_cast<size_t>(kIds[i]) * kSize + j];
      ASSERT_EQ(static_cast<float>(got[i * kSize + j]), static_cast<float>(expected));
    }
  }
}

TEST(Embedding, ForwardWidens) {
  check_forward<float, float>();
  check_forward<double, double>();
  check_forward<bfloat16, float>();
  check_forward<float16, float>();
  check_forward<bfloat16, bfloat16>();
}

TEST(Embedding, SumOfTablesInOrder) {
  const Array<int64_t> first({kCount}, kIds), second({kCount}, {0, 1, 2, 3, 4, 3, 2}),
      third({kCount}, {0, 0, 0, 1, 1, 1, 1});
  const auto a = cast<float>(numbers(kRows * kSize, 1)), b = cast<float>(numbers(kRows * kSize, 2));
  std::vector<bfloat16> c;
  for (const double v : numbers(2 * kSize, 3)) c.push_back(bfloat16(static_cast<float>(v)));
  const Array<float> ta({kRows, kSize}, a), tb({kRows, kSize}, b);
  const Array<bfloat16> tc({2, kSize}, c);
  const View tables[] = {ta.view(), tb.view(), tc.view()};
  const View ids[] = {first.view(), second.view(), third.view()};
  const auto vb = second.values(), vc = third.values();
  for (const int count : {1, 2, 3}) {
    const Array<float> y({kCount, kSize});
    tested().embedding().forward_sum(tables, ids, count, y.view());
    const auto got = y.values();
    for (size_t i = 0; i < kIds.size(); ++i) {
      for (size_t j = 0; j < kSize; ++j) {
        float sum = a[static_cast<size_t>(kIds[i]) * kSize + j];
        if (count > 1) sum += b[static_cast<size_t>(vb[i]) * kSize + j];
        if (count > 2) sum += static_cast<float>(c[static_cast<size_t>(vc[i]) * kSize + j]);
        ASSERT_EQ(got[i * kSize + j], sum);
      }
    }
  }
}

TEST(Embedding, BackwardAddsInOrderAndSkipsPadding) {
  const auto dy = cast<float>(numbers(kCount * kSize, 1)), before = cast<float>(numbers(kRows * kSize, 2));
  for (const int64_t padding : {int64_t{-1}, int64_t{2}}) {
    std::vector<float> expected = before;
    for (size_t i = 0; i < kIds.size(); ++i) {
      if (kIds[i] == padding) continue;
      for (size_t j = 0; j < kSize; ++j) expected[static_cast<size_t>(kIds[i]) * kSize + j] += dy[i * kSize + j];
    }
    expect_same_for_any_threads<float>([&] {
      const Array<float> table({kRows, kSize}, before);
      const Array<int64_t> ids({kCount}, kIds);
      tested().embedding().backward(Array<float>({kCount, kSize}, dy).view(), ids.view(), padding, table.view());
      EXPECT_EQ(table.values(), expected);
      return table.values();
    });
  }
}

TEST(Embedding, BackwardMatchesFiniteDifferences) {
  const Array<int64_t> ids({kCount}, kIds);
  const auto dy = numbers(kCount * 3, 1), table = numbers(kRows * 3, 2);
  const Array<double> dtable({kRows, 3}, std::vector<double>(static_cast<size_t>(kRows * 3), 0.0));
  tested().embedding().backward(array<double>({kCount, 3}, dy).view(), ids.view(), -1, dtable.view());
  const auto f = [&](const std::vector<double>& v) {
    const Array<double> y({kCount, 3});
    tested().embedding().forward(array<double>({kRows, 3}, v).view(), ids.view(), y.view());
    return dot(y.values(), dy);
  };
  expect_gradient(f, table, dtable.values());
}

TEST(Embedding, IdsOutsideTheTableAreErrors) {
  // A device finds them while it runs; the host hears of it when it waits.
  const auto wait = [] { tested().queue().synchronize(); };
  const Array<float> table({2, 3}, std::vector<float>(6, 1.0F)), y({1, 3});
  for (const int64_t bad : {int64_t{-1}, int64_t{2}, INT64_MAX}) {
    const Array<int64_t> ids({1}, {bad});
    const View tables[] = {table.view()}, views[] = {ids.view()};
    EXPECT_THROW((tested().embedding().forward(table.view(), ids.view(), y.view()), wait()), Error);
    EXPECT_THROW((tested().embedding().forward_sum(tables, views, 1, y.view()), wait()), Error);
    EXPECT_THROW((tested().embedding().backward(y.view(), ids.view(), -1, table.view()), wait()), Error);
  }
}

TEST(Embedding, NoIds) {
  const Array<float> table({2, 3}, std::vector<float>(6, 1.0F)), y({0, 3});
  const Array<int64_t> ids({0});
  tested().embedding().forward(table.view(), ids.view(), y.view());
  tested().embedding().backward(y.view(), ids.view(), -1, table.view());
  EXPECT_EQ(table.values(), std::vector<float>(6, 1.0F));
}

}  // namespace
}  // namespace mica
