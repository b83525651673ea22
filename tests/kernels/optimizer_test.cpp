#include "mica/kernels/optimizer.h"

#include "mica/tests/kernels/simd_support.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

// Several blocks of rows, chunks of a long vector, batches of matrices, less than a vector, nothing.
const std::vector<Shape> kShapes{{130, 300}, {20000}, {2, 3, 5}, {7}, {0}, {1, 40}};

// All tensors of a model that an optimizer may need: parameters, gradients, first and second moments, factors.
template <typename T>
struct Tensors {
  std::vector<Array<T>> p, g, m, v, row, column;

  Tensors() {
    for (size_t i = 0; i < kShapes.size(); ++i) {
      const Shape& shape = kShapes[i];
      const int64_t n = product_of(shape);
      Shape rows = shape, columns = shape;
      rows.pop_back();
      if (columns.size() > 1) columns.erase(columns.end() - 2);
      p.push_back(array<T>(shape, numbers(n, 10 * i)));
      g.push_back(array<T>(shape, numbers(n, 10 * i + 1)));
      m.push_back(array<T>(shape, numbers(n, 10 * i + 2)));
      v.push_back(array<T>(shape, numbers(n, 10 * i + 3, 0.25, 1)));
      row.push_back(array<T>(rows, numbers(product_of(rows), 10 * i + 4, 0.25, 1)));
      column.push_back(array<T>(columns, numbers(product_of(columns), 10 * i + 5, 0.25, 1)));
    }
  }

  std::vector<T> all() const {
    std::vector<T> values;
    for (const auto* each : {&p, &m, &v, &row, &column}) {
      for (const Array<T>& one : *each) {
        const std::vector<T> part = one.values();
        values.insert(values.end(), part.begin(), part.end());
      }
    }
    return values;
  }
};

template <typename T>
using Kernel = void (*)(const Tensors<T>&);

constexpr double kScale = 0.75;

template <typename T>
void adamw(const Tensors<T>& t) {
  std::vector<AdamWItem> items;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    items.push_back({.parameter = t.p[i].view(),
                     .gradient = t.g[i].view(),
                     .mean = t.m[i].view(),
                     .variance = t.v[i].view(),
                     .lr = 0.1,
                     .beta1 = 0.9,
                     .beta2 = 0.99,
                     .eps = 1e-3,
                     .weight_decay = i == 0 ? 0.5 : 0,
                     .step = static_cast<int64_t>(i) + 7});
  }
  tested().optimizer().adamw(items, kScale);
}

template <typename T, bool momentum, bool nesterov, bool first>
void sgd(const Tensors<T>& t) {
  std::vector<SgdItem> items;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    items.push_back({.parameter = t.p[i].view(),
                     .gradient = t.g[i].view(),
                     .buffer = momentum ? t.m[i].view() : View{},
                     .lr = 0.1,
                     .momentum = 0.9,
                     .dampening = nesterov ? 0 : 0.25,
                     .weight_decay = 0.5,
                     .nesterov = nesterov,
                     .first_step = first});
  }
  tested().optimizer().sgd(items, kScale);
}

template <typename T>
void lion(const Tensors<T>& t) {
  std::vector<LionItem> items;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    items.push_back({.parameter = t.p[i].view(),
                     .gradient = t.g[i].view(),
                     .mean = t.m[i].view(),
                     .lr = 0.1,
                     .beta1 = 0.9,
                     .beta2 = 0.99,
                     .weight_decay = 0.5});
  }
  tested().optimizer().lion(items, kScale);
}

template <typename T, bool momentum>
void adafactor(const Tensors<T>& t) {
  std::vector<AdafactorItem> items;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    const bool matrix = kShapes[i].size() > 1;
    items.push_back({.parameter = t.p[i].view(),
                     .gradient = t.g[i].view(),
                     .mean = momentum ? t.m[i].view() : View{},
                     .row = matrix ? t.row[i].view() : View{},
                     .column = matrix ? t.column[i].view() : View{},
                     .variance = matrix ? View{} : t.v[i].view(),
                     .lr = 0.1,
                     .beta1 = 0.9,
                     .beta2 = 0.6,
                     .eps = 1e-30,
                     .eps_scale = 1e-3,
                     .clip_threshold = momentum ? 0.2 : 1,
                     .weight_decay = 0.5,
                     .scale_parameter = !momentum});
  }
  tested().optimizer().adafactor(items, kScale);
}

struct Case {
  const char* name;
  Kernel<float> single;
  Kernel<double> exact;
  double bound;  // of the float32 result's error
};

// Operands are at most 1 in size and second moments at least 1/4, so that no result exceeds 2 and no division enlarges
// an error by more than 4: a dozen roundings give less than 48 units of the last place. Adafactor's sums add as many
// as the longest row or column has elements; its update is at most a tenth of 4.
const std::vector<Case> kCases{
    {"adamw", adamw<float>, adamw<double>, 48 * kEpsilon<float>},
    {"sgd", sgd<float, false, false, false>, sgd<double, false, false, false>, 48 * kEpsilon<float>},
    {"momentum", sgd<float, true, false, false>, sgd<double, true, false, false>, 48 * kEpsilon<float>},
    {"first step", sgd<float, true, false, true>, sgd<double, true, false, true>, 48 * kEpsilon<float>},
    {"nesterov", sgd<float, true, true, false>, sgd<double, true, true, false>, 48 * kEpsilon<float>},
    {"lion", lion<float>, lion<double>, 48 * kEpsilon<float>},
    {"adafactor", adafactor<float, false>, adafactor<double, false>, (48 + 300) * kEpsilon<float>},
    {"adafactor, beta1", adafactor<float, true>, adafactor<double, true>, (48 + 300) * kEpsilon<float>},
};

TEST(Optimizer, EveryTargetAgreesWithFloat64) {
  for (const Case& each : kCases) {
    SCOPED_TRACE(each.name);
    const Tensors<double> exact;
    const std::vector<double> before = exact.all();
    each.exact(exact);
    const std::vector<double> want = exact.all();
    EXPECT_NE(want, before);
    for_each_target([&] {
      const Tensors<float> single;
      each.single(single);
      expect_close(single.all(), want, 0, each.bound, each.name);
    });
  }
}

TEST(Optimizer, StepsDoNotDependOnThreads) {
  for (const Case& each : kCases) {
    SCOPED_TRACE(each.name);
    expect_same_for_any_threads<float>([&] {
      const Tensors<float> tensors;
      each.single(tensors);
      return tensors.all();
    });
  }
}

double root_mean_square(const std::vector<double>& x) {
  return std::sqrt(dot(x, x) / static_cast<double>(x.size()));
}

// The header's formulas without blocks, passes or threads, on one matrix.
TEST(Optimizer, AdafactorOfManyBlocksByHand) {
  constexpr size_t kRows = 130, kColumns = 300;
  const Tensors<double> tensors;
  const std::vector<double> p = tensors.p[0].values(), g = tensors.g[0].values();
  std::vector<double> r = tensors.row[0].values(), c = tensors.column[0].values();
  for (size_t i = 0; i < kRows; ++i) {
    double sum = 0;
    for (size_t j = 0; j < kColumns; ++j) sum += kScale * kScale * g[i * kColumns + j] * g[i * kColumns + j];
    r[i] = 0.6 * r[i] + 0.4 * (sum / kColumns + 1e-30);
  }
  for (size_t j = 0; j < kColumns; ++j) {
    double sum = 0;
    for (size_t i = 0; i < kRows; ++i) sum += kScale * kScale * g[i * kColumns + j] * g[i * kColumns + j];
    c[j] = 0.6 * c[j] + 0.4 * (sum / kRows + 1e-30);
  }
  double mean = 0;
  for (const double each : r) mean += each / kRows;
  std::vector<double> u(p.size()), want(p.size());
  for (size_t i = 0; i < u.size(); ++i) u[i] = kScale * g[i] / std::sqrt(r[i / kColumns] * c[i % kColumns] / mean);
  const double rate = 0.1 * root_mean_square(p);
  const double clipped = rate / std::max(1.0, root_mean_square(u));
  for (size_t i = 0; i < u.size(); ++i) want[i] = p[i] - 0.5 * rate * p[i] - clipped * u[i];
  adafactor<double, false>(tensors);
  // Sums of at most 39000 terms.
  expect_close(tensors.row[0].values(), r, 400 * kEpsilon<double>, 0, "row");
  expect_close(tensors.column[0].values(), c, 400 * kEpsilon<double>, 0, "column");
  expect_close(tensors.p[0].values(), want, 0, 40000 * kEpsilon<double>, "parameter");
}

// The formulas of the header, spelled out for one element.
TEST(Optimizer, OneElementByHand) {
  const auto one = [](double value) { return Array<double>({1}, {value}); };
  const Array<double> p = one(2), g = one(3), m = one(0.5), v = one(4);
  const AdamWItem item{.parameter = p.view(),
                       .gradient = g.view(),
                       .mean = m.view(),
                       .variance = v.view(),
                       .lr = 0.1,
                       .beta1 = 0.9,
                       .beta2 = 0.5,
                       .eps = 0.01,
                       .weight_decay = 0.2,
                       .step = 2};
  tested().optimizer().adamw({&item, 1}, 0.5);
  const double mean = 0.9 * 0.5 + 0.1 * 1.5, variance = 0.5 * 4 + 0.5 * 2.25;
  EXPECT_NEAR(m.values()[0], mean, 1e-15);
  EXPECT_NEAR(v.values()[0], variance, 1e-15);
  const double step = 0.1 / (1 - 0.81) * mean / (std::sqrt(variance / (1 - 0.25)) + 0.01);
  EXPECT_NEAR(p.values()[0], 2 * 0.98 - step, 1e-14);
}

// Numbers in the device's memory are those of the items, to the bit; a scale that is no number moves nothing.
template <typename T>
void expect_factors_are_read() {
  const Tensors<T> wanted, given;
  adamw(wanted);
  std::vector<AdamWItem> items;
  std::vector<Array<double>> factors;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    const AdamWFactors f = adamw_factors(0.1, 0.9, 0.99, i == 0 ? 0.5 : 0, static_cast<int64_t>(i) + 7);
    factors.push_back(Array<double>({3}, {f.decay, f.step_size, f.inverse_root}));
    items.push_back({.parameter = given.p[i].view(),
                     .gradient = given.g[i].view(),
                     .mean = given.m[i].view(),
                     .variance = given.v[i].view(),
                     .lr = 100,  // not looked at
                     .beta1 = 0.9,
                     .beta2 = 0.99,
                     .eps = 1e-3,
                     .weight_decay = 100,
                     .factors = factors.back().view()});
  }
  const Array<double> scale({1}, {kScale});
  tested().optimizer().adamw(items, 1, scale.view());
  EXPECT_EQ(given.all(), wanted.all());
  for (const double none : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    const Array<double> no_scale({1}, {none});
    tested().optimizer().adamw(items, 1, no_scale.view());
    EXPECT_EQ(given.all(), wanted.all());
  }
}
TEST(Optimizer, AdamWReadsItsFactorsFromMemory) {
  expect_factors_are_read<float>();
  expect_factors_are_read<double>();
}

TEST(Optimizer, LionLeavesWhatHasNoSign) {
  const Array<float> p({2}, {1, 1}), g({2}, {0, std::nanf("")}), m({2}, {0, 0});
  const LionItem item{.parameter = p.view(), .gradient = g.view(), .mean = m.view(), .lr = 0.5, .beta1 = 0.9};
  tested().optimizer().lion({&item, 1}, 1);
  EXPECT_EQ(p.values()[0], 1);
  EXPECT_TRUE(std::isnan(p.values()[1]));
}

TEST(Optimizer, SumOfSquaresIsExactAndDoesNotOverflow) {
  std::vector<Array<float>> tensors;
  double want = 0;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    const std::vector<double> values = numbers(product_of(kShapes[i]), 50 + i);
    want += dot(values, values);
    tensors.push_back(array<float>(kShapes[i], values));
  }
  std::vector<View> views;
  for (const Array<float>& each : tensors) views.push_back(each.view());
  const Array<double> y({1});
  const auto sum = [&] {
    tested().optimizer().sum_of_squares(views, y.view());
    return y.values();
  };
  for_each_target([&] { EXPECT_NEAR(sum()[0], want, 60000 * kEpsilon<double> * want); });
  expect_same_for_any_threads<double>(sum);

  const Array<float> large({3}, {1e30F, 0, 2e30F});
  views.push_back(large.view());
  EXPECT_NEAR(sum()[0], 5e60, 1e54);
  const Array<float> bad({2}, {std::nanf(""), 0});
  views.push_back(bad.view());
  EXPECT_TRUE(std::isnan(sum()[0]));
  views.clear();
  EXPECT_EQ(sum()[0], 0);
}

}  // namespace
}  // namespace mica
