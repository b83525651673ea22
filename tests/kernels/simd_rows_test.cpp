// Layer norm, softmax and the activations in float32 against float64.

#include <functional>
#include <limits>

#include "mica/kernels/cpu/simd/activation.h"
#include "mica/kernels/cpu/simd/norm.h"
#include "mica/kernels/cpu/simd/random.h"
#include "mica/kernels/random.h"
#include "mica/tests/kernels/simd_support.h"

namespace mica {
namespace {

using Function = std::function<double(double)>;

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

double tanh_softplus(double x) {
  return std::tanh(x > 40 ? x : std::log1p(std::exp(x)));
}

struct Reference {
  Activation activation;
  Function value, slope;
};

std::vector<Reference> references() {
  const double k = std::sqrt(2 / M_PI);
  const auto inner = [k](double x) { return k * (x + 0.044715 * x * x * x); };
  return {
      {Activation::none, [](double x) { return x; }, [](double) { return 1.0; }},
      {Activation::relu, [](double x) { return std::max(x, 0.0); }, [](double x) { return x > 0 ? 1.0 : 0.0; }},
      {Activation::gelu, [](double x) { return x / 2 * std::erfc(-x / std::sqrt(2.0)); },
       [](double x) { return std::erfc(-x / std::sqrt(2.0)) / 2 + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }},
      {Activation::gelu_tanh, [=](double x) { return x / 2 * (1 + std::tanh(inner(x))); },
       [=](double x) {
         const double t = std::tanh(inner(x));
         return (1 + t) / 2 + x / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x);
       }},
      {Activation::quick_gelu, [](double x) { return x * sigmoid(1.702 * x); },
       [](double x) {
         const double s = sigmoid(1.702 * x);
         return s + 1.702 * x * s * (1 - s);
       }},
      {Activation::silu, [](double x) { return x * sigmoid(x); },
       [](double x) {
         const double s = sigmoid(x);
         return s + x * s * (1 - s);
       }},
      {Activation::tanh, [](double x) { return std::tanh(x); },
       [](double x) { return 1 - std::tanh(x) * std::tanh(x); }},
      {Activation::sigmoid, sigmoid, [](double x) { return sigmoid(x) * (1 - sigmoid(x)); }},
      {Activation::relu2, [](double x) { return x > 0 ? x * x : 0; }, [](double x) { return x > 0 ? 2 * x : 0; }},
      {Activation::mish, [](double x) { return x * tanh_softplus(x); },
       [](double x) {
         const double t = tanh_softplus(x);
         return t + x * (1 - t * t) * sigmoid(x);
       }},
      {Activation::elu, [](double x) { return x > 0 ? x : std::expm1(x); },
       [](double x) { return x > 0 ? 1 : std::exp(x); }},
      {Activation::gelu_10, [](double x) { return std::min(10.0, x / 2 * std::erfc(-x / std::sqrt(2.0))); },
       [](double x) {
         if (x > 10) return 0.0;
         return std::erfc(-x / std::sqrt(2.0)) / 2 + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
       }},
      {Activation::hardswish, [](double x) { return x * std::min(std::max(x + 3, 0.0), 6.0) / 6; },
       [](double x) { return x < -3  ? 0
                             : x > 3 ? 1
                                     : x / 3 + 0.5; }},
      {Activation::laplace, [](double x) { return std::erfc((0.707107 - x) / 0.282095 / std::sqrt(2.0)) / 2; },
       [](double x) {
         const double z = (x - 0.707107) / 0.282095;
         return std::exp(-z * z / 2) / std::sqrt(2 * M_PI) / 0.282095;
       }},
      {Activation::leaky_relu, [](double x) { return x > 0 ? x : 0.01 * x; },
       [](double x) { return x > 0 ? 1 : 0.01; }},
      {Activation::relu6, [](double x) { return std::min(std::max(x, 0.0), 6.0); },
       [](double x) { return x > 0 && x < 6 ? 1.0 : 0.0; }},
      {Activation::sqrtsoftplus, [](double x) { return std::sqrt(x > 40 ? x : std::log1p(std::exp(x))); },
       [](double x) {
         return x < -80 ? std::exp(x / 2) / 2 : sigmoid(x) / (2 * std::sqrt(x > 40 ? x : std::log1p(std::exp(x))));
       }},
  };
}

std::vector<float> interesting_floats() {
  std::vector<float> values = {0.0F,  -0.0F,  1e-38F, -1e-38F, 1e-20F, 87.0F, -87.0F,
                               88.8F, -88.8F, 200.0F, -200.0F, 1e9F,   -1e9F};
  for (int i = -40000; i <= 40000; ++i) values.push_back(static_cast<float>(i) * 3.1e-4F);
  for (float x : random_floats(3001, 1, 4)) values.push_back(x);
  return values;
}

TEST(SimdActivation, ValuesAndSlopes) {
  for_each_target([] {
    const std::vector<float> x = interesting_floats();
    std::vector<float> y(x.size()), ones(x.size(), 1), slope(x.size());
    for (const Reference& reference : references()) {
      SCOPED_TRACE(name(reference.activation));
      cpu::simd::activation_forward(reference.activation, x.data(), y.data(), static_cast<int64_t>(x.size()));
      cpu::simd::activation_backward(reference.activation, x.data(), ones.data(), slope.data(),
                                     static_cast<int64_t>(x.size()));
      // Slopes have a factor that grows with x before a power of e kills it: its error is relative to their size and
      // to 1.
      for (size_t i = 0; i < x.size(); ++i) {
        const double value = reference.value(double{x[i]}), derivative = reference.slope(double{x[i]});
        ASSERT_NEAR(y[i], value, 1.2e-7 + 4e-7 * std::abs(value)) << x[i];
        ASSERT_NEAR(slope[i], derivative, 6e-7 * (1 + std::abs(derivative))) << x[i];
      }
    }
  });
}

TEST(SimdActivation, GeluToTheSeventhDigit) {
  double worst = 0;
  const std::vector<float> x = interesting_floats();
  std::vector<float> y(x.size());
  cpu::simd::activation_forward(Activation::gelu, x.data(), y.data(), static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = double{x[i]} / 2 * std::erfc(-double{x[i]} / std::sqrt(2.0));
    worst = std::max(worst, std::abs(double{y[i]} - exact) / std::max(1.0, std::abs(exact)));
  }
  EXPECT_LT(worst, 1e-7);
}

TEST(SimdActivation, SmallArgumentsKeepTheirDigits) {
  std::vector<float> x, y;
  for (float v = 1e-30F; v < 1; v *= 1.7F) x.insert(x.end(), {v, -v});
  y.resize(x.size());
  for (const Activation activation : {Activation::tanh, Activation::elu}) {
    cpu::simd::activation_forward(activation, x.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = activation == Activation::tanh ? std::tanh(double{x[i]})
                           : x[i] > 0                     ? double{x[i]}
                                                          : std::expm1(double{x[i]});
      EXPECT_NEAR(y[i], exact, 4e-7 * std::abs(exact));
    }
  }
}

TEST(SimdActivation, NotANumberStays) {
  for_each_target([] {
    for (const Reference& reference : references()) {
      SCOPED_TRACE(name(reference.activation));
      std::vector<float> x(37, NAN), y(37), dy(37, 1);
      cpu::simd::activation_forward(reference.activation, x.data(), y.data(), 37);
      for (const float v : y) EXPECT_TRUE(std::isnan(v));
    }
  });
}

// Sums of n terms in four lanes of vectors err by less than n eps of the sum of magnitudes.
TEST(SimdNorm, LayerNormForwardAndBackward) {
  for_each_target([] {
    for (const int64_t size : {1, 2, 15, 16, 17, 63, 64, 65, 130, 768}) {
      SCOPED_TRACE(size);
      const int64_t rows = 70;
      std::vector<float> x = random_floats(rows * size, 1), residual = random_floats(rows * size, 2);
      std::vector<float> weight = random_floats(size, 3), bias = random_floats(size, 4),
                         dy = random_floats(rows * size, 5);
      for (float& v : x) v += 3;
      std::vector<float> y(x.size()), sum(x.size()), mean(static_cast<size_t>(rows)), rstd(static_cast<size_t>(rows)),
          ds(x.size());
      std::vector<float> dweight(static_cast<size_t>(size)), dbias(static_cast<size_t>(size));
      cpu::simd::layer_norm({.x = x.data(),
                             .x_row = size,
                             .residual = residual.data(),
                             .residual_row = size,
                             .weight = weight.data(),
                             .bias = bias.data(),
                             .epsilon = 1e-5F,
                             .y = y.data(),
                             .y_row = size,
                             .sum = sum.data(),
                             .sum_row = size,
                             .mean = mean.data(),
                             .rstd = rstd.data(),
                             .size = size},
                            rows);
      cpu::simd::layer_norm_backward({.dy = dy.data(),
                                      .sum = sum.data(),
                                      .mean = mean.data(),
                                      .rstd = rstd.data(),
                                      .weight = weight.data(),
                                      .ds = ds.data(),
                                      .dweight = dweight.data(),
                                      .dbias = dbias.data(),
                                      .size = size},
                                     rows);
      std::vector<double> dw(static_cast<size_t>(size)), db(static_cast<size_t>(size));
      const auto n = static_cast<double>(size);
      for (int64_t r = 0; r < rows; ++r) {
        const auto at = [&](const std::vector<float>& v, int64_t i) {
          return double{v[static_cast<size_t>(r * size + i)]};
        };
        double m = 0, variance = 0, g_mean = 0, gx_mean = 0;
        for (int64_t i = 0; i < size; ++i) {
          ASSERT_EQ(at(sum, i),
                    double{x[static_cast<size_t>(r * size + i)] + residual[static_cast<size_t>(r * size + i)]});
          m += at(sum, i) / n;
        }
        for (int64_t i = 0; i < size; ++i) variance += (at(sum, i) - m) * (at(sum, i) - m) / n;
        const double s = 1 / std::sqrt(variance + 1e-5);
        EXPECT_NEAR(mean[static_cast<size_t>(r)], m, 1e-6);
        EXPECT_NEAR(rstd[static_cast<size_t>(r)], s, s * 1e-5);
        // A row of one or two elements may have almost no variance: the mean's rounding is then blown up by rstd.
        const double unit = 2e-6 * std::max(1.0, s);
        for (int64_t i = 0; i < size; ++i) {
          const auto c = static_cast<size_t>(i);
          const double xhat = (at(sum, i) - m) * s, g = at(dy, i) * double{weight[c]};
          ASSERT_NEAR(at(y, i), xhat * double{weight[c]} + double{bias[c]},
                      unit * (1 + std::abs(xhat)) * (1 + std::abs(double{weight[c]})));
          g_mean += g / n;
          gx_mean += g * xhat / n;
          dw[c] += at(dy, i) * xhat;
          db[c] += at(dy, i);
        }
        for (int64_t i = 0; i < size; ++i) {
          const double xhat = (at(sum, i) - m) * s, g = at(dy, i) * double{weight[static_cast<size_t>(i)]};
          ASSERT_NEAR(at(ds, i), s * (g - g_mean - xhat * gx_mean),
                      1e-5 * s * std::max(1.0, s) * (1 + std::abs(g) + std::abs(gx_mean)));
        }
      }
      for (size_t i = 0; i < dw.size(); ++i) {
        EXPECT_NEAR(dbias[i], db[i], 1e-4);
        EXPECT_NEAR(dweight[i], dw[i], size < 3 ? 1e-1 : 2e-4);
      }
    }
  });
}

TEST(SimdSoftmax, ForwardAndBackward) {
  for_each_target([] {
    for (const int64_t size : {1, 3, 16, 17, 31, 33, 100, 1000}) {
      for (const bool log : {false, true}) {
        const int64_t rows = 9;
        std::vector<float> x = random_floats(rows * size, 1, 5), dy = random_floats(rows * size, 2), y(x.size()),
                           dx(x.size());
        if (size > 16) x[5] = -INFINITY;
        cpu::simd::softmax(x.data(), y.data(), rows, size, log);
        cpu::simd::softmax_backward(y.data(), dy.data(), dx.data(), rows, size, log);
        for (int64_t r = 0; r < rows; ++r) {
          const auto at = [&](const std::vector<float>& v, int64_t i) {
            return double{v[static_cast<size_t>(r * size + i)]};
          };
          double largest = -INFINITY, sum = 0, dot = 0, magnitude = 0;
          for (int64_t i = 0; i < size; ++i) largest = std::max(largest, at(x, i));
          for (int64_t i = 0; i < size; ++i) sum += std::exp(at(x, i) - largest);
          for (int64_t i = 0; i < size; ++i) {
            const double p = std::exp(at(x, i) - largest) / sum;
            dot += at(dy, i) * (log ? 1 : p);
            magnitude += std::abs(at(dy, i) * (log ? 1 : p));
          }
          for (int64_t i = 0; i < size; ++i) {
            const double p = std::exp(at(x, i) - largest) / sum;
            const double exact = log ? at(x, i) - largest - std::log(sum) : p;
            // The rounding of x - largest is an absolute error of the exponent; the sum runs in at least four lanes.
            const double relative = 5e-7 + 1.2e-7 * std::min(100.0, std::abs(at(x, i) - largest)) +
                                    static_cast<double>(size) / 4 / (1 << 24);
            if (std::isfinite(exact)) {
              ASSERT_NEAR(at(y, i), exact, log ? 1e-6 * (1 + std::abs(exact)) + relative : relative * exact + 1e-37);
            } else {
              ASSERT_EQ(at(y, i), exact);
            }
            const double slope = log ? at(dy, i) - p * dot : p * (at(dy, i) - dot);
            ASSERT_NEAR(
                at(dx, i), slope,
                (5e-6 + relative) * (std::abs(slope) + p * (magnitude + std::abs(at(dy, i)))) + 1e-7 * log + 1e-37);
          }
        }
      }
    }
  });
}

TEST(SimdRandom, UniformNumbersAreThoseOfOneBlockAtATime) {
  for_each_target([] {
    // The counter's lower word runs over in the middle.
    for (const uint64_t first : {uint64_t{0}, uint64_t{0xfffffff0}, uint64_t{0x1234567890}}) {
      for (const int64_t blocks : {1, 15, 16, 17, 40}) {
        std::vector<float> u(static_cast<size_t>(4 * blocks + 1), -1);
        cpu::simd::uniform_blocks(0x123456789abcdef0, 0xfedcba9876543210, first, blocks, u.data());
        for (int64_t i = 0; i < 4 * blocks; ++i) {
          const uint64_t index = 4 * first + static_cast<uint64_t>(i);
          ASSERT_EQ(u[static_cast<size_t>(i)],
                    uniform_from_word(philox_word(0x123456789abcdef0, 0xfedcba9876543210, index)));
        }
        ASSERT_EQ(u.back(), -1);
      }
    }
  });
}

TEST(SimdRandom, ThresholdComparesAsDoubleDoes) {
  for (const double p : {0.0, 0.1, 0.25, 0.5, 1e-9, 0.9999999}) {
    const float threshold = dropout_threshold(p);
    for (const auto word : {uint32_t{0}, uint32_t{0x19999900}, uint32_t{0x19999a00}, uint32_t{0x40000000},
                            uint32_t{0x3fffff00}, uint32_t{0xffffffff}}) {
      const float u = uniform_from_word(word);
      EXPECT_EQ(u >= threshold, double{u} >= p) << p << " " << word;
    }
  }
}

TEST(SimdNorm, SameBitsForAnyThreadsAndAnyBatch) {
  const int64_t rows = 300, size = 100;
  const std::vector<float> x = random_floats(rows * size, 1), weight = random_floats(size, 2);
  const auto run = [&](int64_t first, int64_t count) {
    std::vector<float> y(static_cast<size_t>(count * size));
    cpu::simd::layer_norm({.x = x.data() + first * size,
                           .x_row = size,
                           .weight = weight.data(),
                           .y = y.data(),
                           .y_row = size,
                           .size = size},
                          count);
    cpu::simd::softmax(y.data(), y.data(), count, size, false);
    return y;
  };
  set_num_threads(1);
  const std::vector<float> all = run(0, rows);
  for_thread_counts([&] {
    EXPECT_EQ(run(0, rows), all);
    const std::vector<float> part = run(17, 5);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + 17 * size));
  });
}

}  // namespace
}  // namespace mica
