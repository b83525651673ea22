#pragma once
// Finite differences in float64: the judge of every backward pass.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/random.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/tape.h"
#include "mica/tensor/tensor.h"
#include "mica/tests/support/guarded_device.h"

namespace mica {

using test::test_device;

/// Values in [-1, 1), float64, tracked, the same for the same seed, on the tested device.
inline Tensor random_input(const Shape& shape, uint64_t seed) {
  manual_seed(seed);
  const Tensor x = uniform(shape, -1, 1, DType::float64, test_device());
  x.set_requires_grad();
  return x;
}

/// Checks the gradients of f's outputs, weighted by fixed random numbers, with respect to every element of every input.
/// The step h = 1e-5 leaves an error of order h^2 |f'''| + eps |f| / h, about 1e-10 here; 1e-6 leaves room for f'''.
inline void check_gradients(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                            const std::vector<Tensor>& inputs, double tolerance = 1e-6) {
  for (const Tensor& input : inputs) input.set_grad({});
  const Tensor output = f(inputs);
  manual_seed(12345);
  const Tensor weights = uniform(output.shape(), -1, 1, DType::float64, output.device());
  backward(output, weights);
  const auto value = [&] {
    const NoGrad no_grad;
    return multiply(f(inputs), weights).sum().item<double>();
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& input = inputs[i];
    ASSERT_TRUE(input.grad().defined()) << "input " << i << " got no gradient";
    ASSERT_EQ(input.grad().shape(), input.shape());
    const std::vector<double> gradient = input.grad().to_vector<double>();
    std::vector<double> elements = input.to_vector<double>();
    const auto set = [&](size_t k, double element) {
      elements[k] = element;
      input.detach().copy_(Tensor::from(elements, input.shape()));
    };
    for (size_t k = 0; k < gradient.size(); ++k) {
      constexpr double h = 1e-5;
      const double saved = elements[k];
      set(k, saved + h);
      const double above = value();
      set(k, saved - h);
      const double below = value();
      set(k, saved);
      const double expected = (above - below) / (2 * h);
      ASSERT_NEAR(gradient[k], expected, tolerance * std::max(1.0, std::abs(expected)))
          << "input " << i << ", element " << k;
    }
  }
}

}  // namespace mica
