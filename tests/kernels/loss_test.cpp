#include "mica/kernels/loss.h"

#include "mica/base/error.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

constexpr int64_t kIgnore = -100;

double cross_entropy(const std::vector<double>& logits, const std::vector<int64_t>& labels, size_t classes) {
  double sum = 0, counted = 0;
  for (size_t row = 0; row < labels.size(); ++row) {
    if (labels[row] == kIgnore) continue;
    double largest = -INFINITY, total = 0;
    for (size_t i = 0; i < classes; ++i) largest = std::max(largest, logits[row * classes + i]);
    for (size_t i = 0; i < classes; ++i) total += std::exp(logits[row * classes + i] - largest);
    sum += largest + std::log(total) - logits[row * classes + static_cast<size_t>(labels[row])];
    counted += 1;
  }
  return sum / counted;
}

template <typename T>
std::pair<double, std::vector<double>> run(const std::vector<double>& logits, const std::vector<int64_t>& labels,
                                           int64_t classes, double dloss, bool in_place = false) {
  const auto rows = static_cast<int64_t>(labels.size());
  const Array<T> x = array<T>({rows, classes}, logits), loss({}), total({rows}), dx({rows, classes});
  const Array<int64_t> y({rows}, labels);
  tested().loss().cross_entropy(x.view(), y.view(), kIgnore, loss.view(), total.view());
  const View target = in_place ? x.view() : dx.view();
  tested().loss().cross_entropy_backward(array<T>({}, {dloss}).view(), x.view(), y.view(), kIgnore, total.view(),
                                         target);
  return {static_cast<double>(loss.values()[0]), cast<double>(in_place ? x.values() : dx.values())};
}

template <typename T>
class LossTest : public ::testing::Test {};
TYPED_TEST_SUITE(LossTest, Floats);

TYPED_TEST(LossTest, CrossEntropy) {
  using T = TypeParam;
  struct Size {
    int64_t rows, classes;
  };
  for (const auto& [rows, classes] : {Size{1, 1}, {1, 2}, {7, 5}, {33, 1000}, {3, 9001}}) {
    const auto logits = numbers(rows * classes, 1, -16, 16);
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < rows; ++i) labels.push_back(i % 4 == 1 ? kIgnore : i * 13 % classes);
    const auto [loss, gradient] = run<T>(logits, labels, classes, 1);
    // The terms exp(x) are exact to a few epsilons, their logarithm is absolute, the rest is in double.
    EXPECT_NEAR(loss, cross_entropy(logits, labels, static_cast<size_t>(classes)), 64 * kEpsilon<T>);
    // Arguments of exp() reach -32: rounding them, the logits and the logarithm costs 32 epsilons and few more.
    expect_close(gradient, run<double>(logits, labels, classes, 1).second, 64 * kEpsilon<T>, 64 * kEpsilon<T>);
    EXPECT_EQ(run<T>(logits, labels, classes, 1, true).second, gradient);
  }
}

TYPED_TEST(LossTest, LargeLogitsDoNotOverflow) {
  const auto [loss, gradient] = run<TypeParam>({30000, -30000, 0, 30000}, {1, 1}, 2, 1);
  EXPECT_NEAR(loss, 30000, 30000 * kEpsilon<TypeParam>);
  expect_close(gradient, {0.5, -0.5, 0, 0}, 0, 1e-12);
}

TYPED_TEST(LossTest, NothingCounted) {
  const auto [loss, gradient] = run<TypeParam>({1, 2, 3, 4}, {kIgnore, kIgnore}, 2, 1);
  EXPECT_TRUE(std::isnan(loss));
  EXPECT_EQ(gradient, std::vector<double>(4, 0.0));
  EXPECT_TRUE(std::isnan(run<TypeParam>({}, {}, 3, 1).first));
}

TEST(Loss, CrossEntropyBackwardMatchesFiniteDifferences) {
  const int64_t classes = 5;
  const auto logits = numbers(4 * classes, 1, -3, 3);
  const std::vector<int64_t> labels{2, kIgnore, 4, 0};
  const auto f = [&](const auto& v) { return 1.5 * run<double>(v, labels, classes, 1).first; };
  const auto gradient = run<double>(logits, labels, classes, 1.5).second;
  expect_gradient(f, logits, gradient);
  expect_close(run<float>(logits, labels, classes, 1.5).second, gradient, 0, 16 * kEpsilon<float>);
}

TEST(Loss, LabelsOutsideTheClassesAreErrors) {
  EXPECT_THROW(run<float>({1, 2}, {2}, 2, 1), Error);
  EXPECT_THROW(run<float>({1, 2}, {-1}, 2, 1), Error);
}

using Forward = void (LossKernels::*)(const View&, const View&, const View&);
using Backward = void (LossKernels::*)(const View&, const View&, const View&, const View&);

template <typename T>
double value(Forward forward, const std::vector<double>& x, const std::vector<double>& target) {
  const auto n = static_cast<int64_t>(x.size());
  const Array<T> loss({});
  (tested().loss().*forward)(array<T>({n}, x).view(), array<T>({n}, target).view(), loss.view());
  return static_cast<double>(loss.values()[0]);
}

template <typename T>
std::vector<double> slope(Backward backward, const std::vector<double>& x, const std::vector<double>& target,
                          double dloss) {
  const auto n = static_cast<int64_t>(x.size());
  const Array<T> dx({n});
  (tested().loss().*backward)(array<T>({}, {dloss}).view(), array<T>({n}, x).view(), array<T>({n}, target).view(),
                              dx.view());
  return cast<double>(dx.values());
}

double mse(double x, double t) {
  return (x - t) * (x - t);
}
double bce(double x, double t) {
  return std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::abs(x)));
}

TEST(Loss, MeanSquaredErrorAndBinaryCrossEntropy) {
  struct Kind {
    Forward forward;
    Backward backward;
    double (*term)(double, double);
  };
  for (const auto& [forward, backward, term] :
       {Kind{&LossKernels::mse, &LossKernels::mse_backward, mse},
        {&LossKernels::bce_with_logits, &LossKernels::bce_with_logits_backward, bce}}) {
    for (const int64_t n : {int64_t{1}, int64_t{6}, int64_t{20011}}) {
      const auto x = numbers(n, 1, -4, 4), target = numbers(n, 2, 0, 1);
      double want = 0;
      for (size_t i = 0; i < x.size(); ++i) want += term(x[i], target[i]) / static_cast<double>(n);
      EXPECT_NEAR(value<float>(forward, x, target), want, 8 * kEpsilon<float> * want);
      EXPECT_NEAR(value<double>(forward, x, target), want, 1e-12 * want);
      const auto gradient = slope<double>(backward, x, target, 0.75);
      expect_close(slope<float>(backward, x, target, 0.75), gradient, 16 * kEpsilon<float>,
                   16 * kEpsilon<float> / static_cast<double>(n));
      if (n > 100) continue;
      expect_gradient([&](const auto& v) { return 0.75 * value<double>(forward, v, target); }, x, gradient);
    }
    EXPECT_TRUE(std::isnan(value<float>(forward, {}, {})));
    EXPECT_TRUE(std::isfinite(value<float>(forward, {1000, -1000}, {0, 1})));
  }
}

TEST(Loss, DoesNotDependOnThreads) {
  const auto x = numbers(100000, 1, -4, 4), target = numbers(100000, 2, 0, 1);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 1000; ++i) labels.push_back(i % 100);
  expect_same_for_any_threads<double>([&] {
    auto [loss, gradient] = run<float>(x, labels, 100, 1);
    gradient.push_back(loss);
    gradient.push_back(value<float>(&LossKernels::mse, x, target));
    gradient.push_back(value<float>(&LossKernels::bce_with_logits, x, target));
    return gradient;
  });
}

}  // namespace
}  // namespace mica
