#include "mica/kernels/activation.h"

#include <algorithm>
#include <map>
#include <numbers>
#include <string>

#include "mica/base/error.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

constexpr int kCount = static_cast<int>(kLastActivation) + 1;

double expected(Activation activation, double x) {
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::gelu:
      return x / 2 * std::erfc(-x / std::numbers::sqrt2);
    case Activation::gelu_tanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::quick_gelu:
      return x * sigmoid(1.702 * x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::relu2:
      return x > 0 ? x * x : 0;
    case Activation::mish:
      return x * std::tanh(std::log1p(std::exp(x)));
    case Activation::elu:
      return x > 0 ? x : std::expm1(x);
    case Activation::gelu_10:
      return std::min(10.0, x / 2 * std::erfc(-x / std::numbers::sqrt2));
    case Activation::hardswish:
      return x * std::clamp(x + 3, 0.0, 6.0) / 6;
    case Activation::laplace:
      return std::erfc(-(x - 0.707107) / (0.282095 * std::numbers::sqrt2)) / 2;
    case Activation::leaky_relu:
      return x > 0 ? x : 0.01 * x;
    case Activation::relu6:
      return std::clamp(x, 0.0, 6.0);
    case Activation::sqrtsoftplus:
      return x > 0 ? std::sqrt(x + std::log1p(std::exp(-x))) : std::sqrt(std::log1p(std::exp(x)));
  }
  return NAN;
}

std::vector<double> arguments() {
  std::vector<double> x = numbers(2000, 1, -8, 8);
  for (const double special : {0.0, -0.0, 1e-6, -1e-6, 20.0, -20.0, 60.0, -60.0}) x.push_back(special);
  return x;
}

template <typename T>
class ActivationTest : public ::testing::Test {};
TYPED_TEST_SUITE(ActivationTest, Floats);

TYPED_TEST(ActivationTest, Forward) {
  const std::vector<double> x = cast<double>(cast<TypeParam>(arguments()));
  const auto n = static_cast<int64_t>(x.size());
  for (int i = 0; i < kCount; ++i) {
    const auto activation = static_cast<Activation>(i);
    const Array<TypeParam> in = array<TypeParam>({n}, x);
    const Array<TypeParam> out({n});
    tested().activation().forward(activation, in.view(), out.view());
    std::vector<double> want, bound;
    for (const double v : x) {
      want.push_back(expected(activation, v));
      // A few roundings, each of the size of the argument or the result: exp(x) costs |x| of them.
      bound.push_back(8 * kEpsilon<TypeParam> * std::max({1e-3, std::abs(v), std::abs(want.back())}));
    }
    expect_close(out.values(), want, bound, std::string(name(activation)).c_str());
    tested().activation().forward(activation, in.view(), in.view());
    EXPECT_EQ(in.values(), out.values()) << name(activation);
  }
}

TYPED_TEST(ActivationTest, NotANumberPasses) {
  const Array<TypeParam> x({1}, {std::numeric_limits<TypeParam>::quiet_NaN()});
  for (int i = 0; i < kCount; ++i) {
    const Array<TypeParam> y({1}, {TypeParam(0)});
    tested().activation().forward(static_cast<Activation>(i), x.view(), y.view());
    EXPECT_TRUE(std::isnan(y.values()[0])) << name(static_cast<Activation>(i));
  }
}

TYPED_TEST(ActivationTest, LargeArgumentsStayFinite) {
  const Array<TypeParam> x({2}, {TypeParam(-1e4), TypeParam(1e4)});
  for (int i = 0; i < kCount; ++i) {
    const Array<TypeParam> y({2});
    tested().activation().forward(static_cast<Activation>(i), x.view(), y.view());
    for (const TypeParam v : y.values()) EXPECT_TRUE(std::isfinite(v)) << name(static_cast<Activation>(i));
    tested().activation().backward(static_cast<Activation>(i), x.view(), x.view(), y.view());
    for (const TypeParam v : y.values()) EXPECT_TRUE(std::isfinite(v)) << name(static_cast<Activation>(i));
  }
}

std::vector<double> gradient(Activation activation, const std::vector<double>& x, const std::vector<double>& dy) {
  const auto n = static_cast<int64_t>(x.size());
  const Array<double> dx({n});
  tested().activation().backward(activation, array<double>({n}, x).view(), array<double>({n}, dy).view(), dx.view());
  return dx.values();
}

TEST(Activation, BackwardMatchesFiniteDifferences) {
  const std::vector<double> x = numbers(100, 3, -5, 5);
  const std::vector<double> dy = numbers(100, 4);
  for (int i = 0; i < kCount; ++i) {
    const auto activation = static_cast<Activation>(i);
    const auto f = [&](const std::vector<double>& v) {
      const Array<double> y({100});
      tested().activation().forward(activation, array<double>({100}, v).view(), y.view());
      return dot(y.values(), dy);
    };
    expect_gradient(f, x, gradient(activation, x, dy), std::string(name(activation)).c_str());
  }
}

TEST(Activation, BackwardInFloatMatchesDouble) {
  const std::vector<double> x = numbers(1000, 5, -6, 6);
  const std::vector<double> dy = numbers(1000, 6);
  for (int i = 0; i < kCount; ++i) {
    const auto activation = static_cast<Activation>(i);
    const Array<float> dx = array<float>({1000}, dy);
    tested().activation().backward(activation, array<float>({1000}, x).view(), dx.view(), dx.view());
    // 1 - t^2 and x * density lose digits in proportion to |x|.
    expect_close(dx.values(), gradient(activation, x, dy), 8 * kEpsilon<float>, 64 * kEpsilon<float>,
                 std::string(name(activation)).c_str());
  }
}

TEST(Activation, NamesOfPublishedConfigs) {
  const std::map<std::string, Activation> names{{"gelu", Activation::gelu},
                                                {"gelu_python", Activation::gelu},
                                                {"gelu_new", Activation::gelu_tanh},
                                                {"gelu_fast", Activation::gelu_tanh},
                                                {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                {"quick_gelu", Activation::quick_gelu},
                                                {"relu", Activation::relu},
                                                {"relu2", Activation::relu2},
                                                {"silu", Activation::silu},
                                                {"swish", Activation::silu},
                                                {"tanh", Activation::tanh},
                                                {"sigmoid", Activation::sigmoid},
                                                {"mish", Activation::mish},
                                                {"elu", Activation::elu},
                                                {"gelu_10", Activation::gelu_10},
                                                {"gelu_python_tanh", Activation::gelu_tanh},
                                                {"gelu_accurate", Activation::gelu_tanh},
                                                {"hardswish", Activation::hardswish},
                                                {"laplace", Activation::laplace},
                                                {"leaky_relu", Activation::leaky_relu},
                                                {"relu6", Activation::relu6},
                                                {"sqrtsoftplus", Activation::sqrtsoftplus},
                                                {"linear", Activation::none}};
  for (const auto& [text, activation] : names) EXPECT_EQ(activation_from_name(text), activation) << text;
  for (int i = 0; i < kCount; ++i) {
    EXPECT_EQ(activation_from_name(name(static_cast<Activation>(i))), static_cast<Activation>(i));
  }
  for (const char* bad : {"gelu_11", "", "GELU", "prelu", "xielu"})
    EXPECT_THROW(activation_from_name(bad), Error) << bad;
}

TEST(Activation, NothingToDo) {
  const Array<float> x({0});
  tested().activation().forward(Activation::gelu, x.view(), x.view());
  tested().activation().backward(Activation::gelu, x.view(), x.view(), x.view());
}

TEST(Activation, DoesNotDependOnThreads) {
  expect_same_for_any_threads<float>([] {
    const Array<float> x = array<float>({50001}, numbers(50001, 1, -4, 4));
    tested().activation().forward(Activation::gelu, x.view(), x.view());
    return x.values();
  });
}

}  // namespace
}  // namespace mica
