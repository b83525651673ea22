// Mixtures of experts on devices that multiply all experts at once: routing against a sort on the host, products
// against those of each expert in float64, for every dtype, with experts that have no rows or all of them.

#include "mica/kernels/experts.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "mica/kernels/linear.h"
#include "mica/tests/kernels/linear_support.h"

namespace mica {
namespace {

using namespace test;
using Integers = std::vector<int64_t>;

class ExpertsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (tested().linear().experts() == nullptr) GTEST_SKIP() << "experts are multiplied one by one here";
  }
  static ExpertsKernels& kernels() { return *tested().linear().experts(); }
};

// Choices of k experts a row, all different, and where they lie.
struct Routes {
  int64_t rows, k, experts;
  Integers chosen, places, slots;
  std::vector<int32_t> offsets;

  Routes(int64_t row_count, int64_t choices, int64_t count, const std::function<int64_t(int64_t, int64_t)>& expert_of)
      : rows(row_count), k(choices), experts(count) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t j = 0; j < k; ++j) chosen.push_back(expert_of(row, j));
    }
    places.resize(chosen.size());
    std::iota(places.begin(), places.end(), 0);
    std::stable_sort(places.begin(), places.end(), [&](int64_t a, int64_t b) { return at(a) < at(b); });
    slots.resize(chosen.size());
    for (size_t p = 0; p < places.size(); ++p) slots[static_cast<size_t>(places[p])] = static_cast<int64_t>(p);
    for (int64_t e = 0; e <= experts; ++e) {
      offsets.push_back(
          static_cast<int32_t>(std::count_if(chosen.begin(), chosen.end(), [&](int64_t each) { return each < e; })));
    }
  }
  int64_t at(int64_t choice) const { return chosen[static_cast<size_t>(choice)]; }
  int64_t count() const { return rows * k; }
};

// The first experts get most rows, every fourth none.
Routes uneven(int64_t rows, int64_t k, int64_t experts) {
  return {rows, k, experts, [experts](int64_t row, int64_t j) {
            const int64_t busy = experts - experts / 4, which = ((row % 3 == 0 ? row / 3 : 0) + j) % busy;
            return which + which / 3;
          }};
}
Routes all_to(int64_t expert, int64_t rows, int64_t experts) {
  return {rows, 1, experts, [expert](int64_t, int64_t) { return expert; }};
}

// The same in the device's memory, as the kernel made it.
struct Placed {
  Array<int32_t> offsets;
  Array<int64_t> places, slots;

  explicit Placed(const Routes& routes)
      : offsets({routes.experts + 1}), places({routes.count()}), slots({routes.rows, routes.k}) {
    const Array<int64_t> chosen({routes.rows, routes.k}, routes.chosen);
    tested().linear().experts()->order(chosen.view(), view());
  }
  ExpertPlaces view() const { return {offsets.view(), places.view(), slots.view()}; }
};

TEST_F(ExpertsTest, OrderIsAStableSort) {
  for (const Routes& routes : {uneven(1, 1, 1), uneven(7, 2, 5), uneven(300, 4, 9), all_to(2, 40, 4),
                               Routes(90, 1, 70, [](int64_t row, int64_t) { return row * 31 % 70; })}) {
    const Placed placed(routes);
    EXPECT_EQ(placed.offsets.values(), routes.offsets);
    EXPECT_EQ(placed.places.values(), routes.places);
    EXPECT_EQ(placed.slots.values(), routes.slots);
  }
}

// The k best of the experts in the best groups, as told in the header.
Integers chosen_by(std::vector<double> values, int64_t k, int64_t groups, int64_t chosen_groups) {
  const auto best_first = [](const std::vector<double>& of) {
    Integers order(of.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return of[static_cast<size_t>(a)] > of[static_cast<size_t>(b)]; });
    return order;
  };
  const size_t size = values.size() / static_cast<size_t>(groups);
  std::vector<double> scores;
  for (size_t g = 0; g < static_cast<size_t>(groups); ++g) {
    std::vector<double> own(values.begin() + static_cast<std::ptrdiff_t>(g * size),
                            values.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
    std::sort(own.rbegin(), own.rend());
    scores.push_back(own[0] + (size > 1 ? own[1] : 0));
  }
  const Integers order = best_first(scores);
  for (size_t rank = static_cast<size_t>(chosen_groups); rank < order.size(); ++rank) {
    const auto g = static_cast<size_t>(order[rank]);
    for (size_t i = 0; i < size; ++i) values[g * size + i] = -std::numeric_limits<double>::infinity();
  }
  Integers result = best_first(values);
  result.resize(static_cast<size_t>(k));
  return result;
}

template <typename T>
void check_choose(ExpertsKernels& kernels, int64_t rows, int64_t experts, int64_t k, int64_t groups,
                  int64_t chosen_groups, bool corrected) {
  // Quarters, so that there are ties and sums are exact.
  const auto quarters = [](int64_t n, uint64_t seed) {
    std::vector<double> values = numbers(n, seed, -3, 3);
    for (double& each : values) each = std::round(each * 4) / 4;
    return values;
  };
  const std::vector<double> scores = quarters(rows * experts, 1), correction = quarters(experts, 2);
  const Array<T> x({rows, experts}, rounded<T>(scores)), added({experts}, rounded<T>(correction));
  const Array<int64_t> chosen({rows, k});
  const Array<T> weights({rows, k});
  kernels.choose(x.view(), {corrected ? added.view() : View{}, groups, chosen_groups}, chosen.view(), weights.view());
  Integers want;
  std::vector<double> want_weights;
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> values;
    for (int64_t e = 0; e < experts; ++e) {
      values.push_back(scores[static_cast<size_t>(row * experts + e)] +
                       (corrected ? correction[static_cast<size_t>(e)] : 0));
    }
    for (const int64_t e : chosen_by(values, k, groups, chosen_groups)) {
      want.push_back(e);
      want_weights.push_back(scores[static_cast<size_t>(row * experts + e)]);
    }
  }
  EXPECT_EQ(chosen.values(), want);
  EXPECT_EQ(widened(weights.values()), want_weights);

  const std::vector<double> gradient = numbers(rows * k, 3);
  const Array<T> dweights({rows, k}, rounded<T>(gradient)), dscores({rows, experts});
  kernels.choose_backward(chosen.view(), dweights.view(), dscores.view());
  std::vector<double> want_scores(static_cast<size_t>(rows * experts));
  for (size_t i = 0; i < want.size(); ++i) {
    want_scores[i / static_cast<size_t>(k) * static_cast<size_t>(experts) + static_cast<size_t>(want[i])] =
        widened(rounded<T>(gradient))[i];
  }
  EXPECT_EQ(widened(dscores.values()), want_scores);
}

TEST_F(ExpertsTest, ChooseTheBestOfTheBestGroups) {
  check_choose<float>(kernels(), 5, 8, 2, 1, 1, false);
  check_choose<float>(kernels(), 3, 70, 6, 1, 1, true);
  check_choose<float>(kernels(), 6, 12, 3, 4, 2, true);
  check_choose<bfloat16>(kernels(), 4, 64, 4, 8, 3, true);
  check_choose<float16>(kernels(), 4, 6, 2, 6, 3, false);  // groups of one
  check_choose<double>(kernels(), 2, 9, 9, 3, 3, true);
}

template <typename T>
void check_moves(ExpertsKernels& kernels, int64_t size) {
  const Routes routes = uneven(9, 2, 5);
  const Placed placed(routes);
  const auto n = static_cast<size_t>(size), k = static_cast<size_t>(routes.k);
  const auto values = [](int64_t count, uint64_t seed) { return widened(rounded<T>(numbers(count, seed))); };
  const std::vector<double> x = values(routes.rows * size, 1), y = values(routes.count() * size, 2),
                            w = values(routes.count(), 3);
  const Array<T> rows({routes.rows, size}, rounded<T>(x)), sorted({routes.count(), size}, rounded<T>(y)),
      weights({routes.rows, routes.k}, rounded<T>(w));
  std::vector<double> gathered, weighted, combined(x.size()), summed(x.size()), dots;
  for (const int64_t place : routes.places) {
    for (size_t c = 0; c < n; ++c) {
      gathered.push_back(x[static_cast<size_t>(place) / k * n + c]);
      weighted.push_back(w[static_cast<size_t>(place)] * gathered.back());
    }
  }
  for (size_t choice = 0; choice < w.size(); ++choice) {
    double dot = 0;
    for (size_t c = 0; c < n; ++c) {
      const double value = y[static_cast<size_t>(routes.slots[choice]) * n + c];
      combined[choice / k * n + c] += w[choice] * value;
      summed[choice / k * n + c] += value;
      dot += value * x[choice / k * n + c];
    }
    dots.push_back(dot);
  }
  // Sums of so many terms of at most 1, and what is rounded at last.
  const auto check = [&](int64_t terms, const Shape& shape, const std::vector<double>& want, const char* what,
                         const auto& run) {
    const Array<T> got(shape);
    run(got.view());
    const double epsilon = std::is_same_v<T, double> ? 0x1p-52 : 0x1p-23;
    expect_close(widened(got.values()), want, 0, static_cast<double>(terms) * (epsilon + kRounding<T>), what);
  };
  const Shape by_row{routes.rows, size}, by_place{routes.count(), size}, by_choice{routes.rows, routes.k};
  check(0, by_place, gathered, "gather", [&](const View& to) { kernels.gather(rows.view(), {}, placed.view(), to); });
  check(1, by_place, weighted, "weighted gather",
        [&](const View& to) { kernels.gather(rows.view(), weights.view(), placed.view(), to); });
  check(routes.k, by_row, summed, "sum",
        [&](const View& to) { kernels.combine(sorted.view(), {}, placed.view(), to); });
  check(routes.k, by_row, combined, "combine",
        [&](const View& to) { kernels.combine(sorted.view(), weights.view(), placed.view(), to); });
  check(size, by_choice, dots, "gradients of the weights",
        [&](const View& to) { kernels.combine_weights_backward(rows.view(), sorted.view(), placed.view(), to); });
}

TEST_F(ExpertsTest, RowsGoToTheirExpertsAndBack) {
  check_moves<float>(kernels(), 8);
  check_moves<float>(kernels(), 7);
  check_moves<bfloat16>(kernels(), 40);
  check_moves<float16>(kernels(), 3);
  check_moves<double>(kernels(), 5);
}

// 2^24 + 1 rounds to 2^24: from the other end the sum would be 1.
TEST_F(ExpertsTest, SumsRunInTheOrderOfChoicesAndOfRows) {
  const std::vector<float> terms{0x1p24F, 1, -0x1p24F};
  const Routes choices(1, 3, 3, [](int64_t, int64_t j) { return j; }), rows = all_to(1, 3, 2);
  const Placed of_row(choices), of_expert(rows);
  const Array<float> x({3, 1}, terms), ones({3, 1}, std::vector<float>(3, 1)), y({1, 1}), gradient({1, 2, 1, 1});
  kernels().combine(x.view(), {}, of_row.view(), y.view());
  EXPECT_EQ(y.values(), std::vector<float>{0});
  kernels().weight_gradients(x.view(), ones.view(), of_expert.view(), DType::float32, gradient.view());
  EXPECT_EQ(gradient.values(), (std::vector<float>{0, 0}));
}

struct Sizes {
  int64_t in, out, parts;
};

// Weights of type W, multiplied as `factors`, activations of type X; all experts and parts in one piece of memory, or,
// stacked, [experts, in, out].
template <typename X, typename W>
struct Products {
  const Routes& routes;
  Sizes size;
  bool stacked;
  DType factors;
  Placed placed;
  std::vector<double> x, w, b;
  Matrix<X> rows;
  Array<W> weights;
  Array<X> biases;
  Array<int64_t> addresses, bias_addresses;

  // As the numbers are multiplied.
  std::vector<double> factor(const std::vector<double>& values) const {
    if (factors == DType::bfloat16) return widened(rounded<bfloat16>(values));
    if (factors == DType::float16) return widened(rounded<float16>(values));
    return values;
  }
  int64_t matrices() const { return size.parts * routes.experts; }
  static Array<int64_t> table(const void* start, int64_t parts, int64_t experts, int64_t bytes) {
    Integers all;
    for (int64_t i = 0; i < parts * experts; ++i) {
      all.push_back(static_cast<int64_t>(reinterpret_cast<uintptr_t>(start)) + i * bytes);
    }
    return Array<int64_t>({parts, experts}, all);
  }

  Products(const Routes& of, const Sizes& sizes, bool in_a_stack, DType multiplied)
      : routes(of),
        size(sizes),
        stacked(in_a_stack),
        factors(multiplied),
        placed(of),
        x(widened(rounded<X>(numbers(of.count() * sizes.in, 1)))),
        w(widened(rounded<W>(numbers(matrices() * sizes.out * sizes.in, 2)))),
        b(widened(rounded<X>(numbers(matrices() * sizes.out, 3)))),
        rows(of.count(), sizes.in, x, sizes.in),
        weights({matrices() * sizes.out * sizes.in}, rounded<W>(w)),
        biases({matrices() * sizes.out}, rounded<X>(b)),
        addresses(table(weights.view().data, sizes.parts, of.experts,
                        sizes.out * sizes.in * static_cast<int64_t>(sizeof(W)))),
        bias_addresses(
            table(biases.view().data, sizes.parts, of.experts, sizes.out * static_cast<int64_t>(sizeof(X)))) {}

  ExpertMatrices view() const {
    const bool aligned = size.out * size.in * static_cast<int64_t>(sizeof(W)) % 16 == 0;
    return {addresses.view(), dtype_of<W>(), size.out, size.in, stacked ? 1 : size.in, stacked ? size.out : 1, aligned};
  }
  int64_t expert_of(int64_t place) const { return routes.at(routes.places[static_cast<size_t>(place)]); }
};

template <typename X, typename W>
void check_product(ExpertsKernels& kernels, const Routes& routes, const Sizes& size, bool stacked, DType factors) {
  SCOPED_TRACE(::testing::Message() << routes.rows << " x " << routes.k << " of " << routes.experts << ": "
                                    << size.parts << " parts " << size.out << " x " << size.in
                                    << (stacked ? ", stacked" : ""));
  const Products<X, W> p(routes, size, stacked, factors);
  const std::vector<double> x = p.factor(p.x), w = p.factor(p.w);
  constexpr double kSum = std::is_same_v<X, double> ? 0x1p-52 : 0x1p-23;
  const int64_t width = size.parts * size.out;
  const std::vector<double> before = widened(rounded<X>(numbers(routes.count() * width, 4)));
  std::vector<double> want, bound;
  for (int64_t place = 0; place < routes.count(); ++place) {
    for (int64_t column = 0; column < width; ++column) {
      const int64_t part = column / size.out, o = column % size.out, expert = p.expert_of(place);
      double sum = 0, magnitude = 0;
      for (int64_t i = 0; i < size.in; ++i) {
        const int64_t start = (part * routes.experts + expert) * size.out * size.in;
        const double term = x[static_cast<size_t>(place * size.in + i)] *
                            w[static_cast<size_t>(start + (stacked ? i * size.out + o : o * size.in + i))];
        sum += term;
        magnitude += std::abs(term);
      }
      want.push_back(sum + p.b[static_cast<size_t>((part * routes.experts + expert) * size.out + o)]);
      bound.push_back((static_cast<double>(size.in) + 3) * kSum * (magnitude + 2) +
                      kRounding<X> * (std::abs(want.back()) + 2));
    }
  }
  const ExpertVectors biases{p.bias_addresses.view(), dtype_of<X>()};
  const Matrix<X> fresh(routes.count(), width, width + 5), added(routes.count(), width, before, width);
  kernels.product(p.rows.view(), p.view(), biases, p.placed.view(), factors, false, fresh.view());
  expect_close(widened(fresh.values()), want, bound, "product");
  kernels.product(p.rows.view(), p.view(), biases, p.placed.view(), factors, true, added.view());
  for (size_t i = 0; i < want.size(); ++i) want[i] += before[i];
  expect_close(widened(added.values()), want, bound, "added");
}

TEST_F(ExpertsTest, ProductsOfEachExpert) {
  const Routes few = uneven(1, 3, 9), some = uneven(11, 2, 5), many = uneven(45, 2, 5);
  for (const Routes* routes : {&few, &some, &many}) {
    for (const bool stacked : {false, true}) {
      check_product<float, float>(kernels(), *routes, {40, 24, 2}, stacked, DType::float32);
      check_product<bfloat16, bfloat16>(kernels(), *routes, {40, 24, 2}, stacked, DType::bfloat16);
    }
    check_product<float, float>(kernels(), *routes, {13, 7, 2}, false, DType::float32);
    check_product<float16, float16>(kernels(), *routes, {19, 37, 1}, false, DType::float16);
    check_product<double, double>(kernels(), *routes, {6, 5, 2}, true, DType::float64);
    check_product<bfloat16, float>(kernels(), *routes, {32, 24, 1}, false, DType::bfloat16);
    check_product<float, float>(kernels(), *routes, {32, 24, 1}, true, DType::bfloat16);
    check_product<float, bfloat16>(kernels(), *routes, {24, 16, 1}, false, DType::bfloat16);
    check_product<float, float16>(kernels(), *routes, {24, 16, 1}, false, DType::float32);
  }
  check_product<float, float>(kernels(), all_to(2, 80, 4), {24, 72, 1}, false, DType::float32);
  check_product<float16, float16>(kernels(), all_to(3, 70, 4), {24, 16, 1}, true, DType::float16);
  check_product<float, float>(kernels(), uneven(0, 2, 3), {8, 8, 1}, false, DType::float32);
}

// With more experts than a warp has lanes, and with tiles of 128 x 128 where there is a wave of them.
TEST_F(ExpertsTest, ProductsOfManyExpertsAndOfLargeTiles) {
  const Routes spread(50, 1, 70, [](int64_t row, int64_t) { return row * 31 % 70; });
  check_product<float, float>(kernels(), spread, {8, 12, 1}, false, DType::float32);
  check_product<bfloat16, bfloat16>(kernels(), spread, {16, 8, 1}, false, DType::bfloat16);
  check_product<bfloat16, bfloat16>(kernels(), uneven(150, 2, 2), {16, 640, 1}, false, DType::bfloat16);
  check_product<float, float>(kernels(), uneven(150, 2, 2), {4, 640, 1}, true, DType::float32);
}

// A row's bits are those of the product of its expert's rows alone.
TEST_F(ExpertsTest, BitsOfSeparateProducts) {
  const Routes routes = uneven(40, 2, 5);
  const Products<float, float> p(routes, {40, 24, 1}, false, DType::float32);
  const Array<float> all({routes.count(), 24});
  kernels().product(p.rows.view(), p.view(), {}, p.placed.view(), DType::float32, false, all.view());
  const std::vector<float> got = all.values();
  for (int64_t e = 0; e < routes.experts; ++e) {
    const auto index = static_cast<size_t>(e);
    const int64_t first = routes.offsets[index], count = routes.offsets[index + 1] - first;
    const std::vector<double> own(p.x.begin() + first * 40, p.x.begin() + (first + count) * 40);
    const std::vector<double> matrix(p.w.begin() + e * 24 * 40, p.w.begin() + (e + 1) * 24 * 40);
    if (count == 0) continue;
    const Array<float> x = array<float>({count, 40}, own), w = array<float>({24, 40}, matrix), y({count, 24});
    tested().linear().product(x.view(), false, w.view(), true, {}, y.view(), DType::float32, false);
    EXPECT_EQ(y.values(), std::vector<float>(got.begin() + first * 24, got.begin() + (first + count) * 24)) << e;
  }
}

template <typename T, typename C>
void check_gradients(ExpertsKernels& kernels, const Routes& routes, int64_t m, int64_t n, int64_t parts,
                     DType factors) {
  SCOPED_TRACE(::testing::Message() << routes.count() << " places: " << parts << " parts " << m << " x " << n);
  const Placed placed(routes);
  const std::vector<double> a = widened(rounded<T>(numbers(routes.count() * parts * m, 1))),
                            b = widened(rounded<T>(numbers(routes.count() * n, 2)));
  const auto factor = [&](const std::vector<double>& values) {
    return factors == DType::bfloat16 ? widened(rounded<bfloat16>(values)) : values;
  };
  const std::vector<double> fa = factor(a), fb = factor(b);
  const Array<T> left({routes.count(), parts * m}, rounded<T>(a)), right({routes.count(), n}, rounded<T>(b));
  const Array<C> got({parts, routes.experts, m, n});
  kernels.weight_gradients(left.view(), right.view(), placed.view(), factors, got.view());
  constexpr double kSum = std::is_same_v<T, double> ? 0x1p-52 : 0x1p-23;
  std::vector<double> want(static_cast<size_t>(parts * routes.experts * m * n)), bound(want.size(), 0x1p-25);
  for (int64_t place = 0; place < routes.count(); ++place) {
    const int64_t expert = routes.at(routes.places[static_cast<size_t>(place)]);
    for (int64_t part = 0; part < parts; ++part) {
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          const auto at = static_cast<size_t>(((part * routes.experts + expert) * m + i) * n + j);
          const double term =
              fa[static_cast<size_t>((place * parts + part) * m + i)] * fb[static_cast<size_t>(place * n + j)];
          want[at] += term;
          bound[at] += static_cast<double>(routes.count()) * kSum * std::abs(term);
        }
      }
    }
  }
  for (size_t i = 0; i < want.size(); ++i) bound[i] = want[i] == 0 ? 0 : bound[i] + kRounding<C> * std::abs(want[i]);
  expect_close(widened(got.values()), want, bound, "weight gradients");
}

TEST_F(ExpertsTest, GradientsOfTheWeights) {
  for (const Routes& routes : {uneven(9, 2, 5), uneven(45, 2, 5), all_to(1, 40, 3)}) {
    check_gradients<float, float>(kernels(), routes, 24, 16, 2, DType::float32);
    check_gradients<float, float>(kernels(), routes, 7, 13, 2, DType::float32);
    check_gradients<float, float>(kernels(), routes, 24, 16, 1, DType::bfloat16);
    check_gradients<bfloat16, float>(kernels(), routes, 24, 16, 2, DType::bfloat16);
    check_gradients<bfloat16, bfloat16>(kernels(), routes, 9, 40, 1, DType::bfloat16);
    check_gradients<float16, float16>(kernels(), routes, 16, 8, 1, DType::float16);
    check_gradients<double, double>(kernels(), routes, 5, 6, 2, DType::float64);
  }
  check_gradients<float, float>(kernels(), uneven(0, 2, 3), 8, 8, 1, DType::float32);  // zeros
}

}  // namespace
}  // namespace mica
