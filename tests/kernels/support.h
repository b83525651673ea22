#pragma once
// What the kernel tests share: operands in a device's memory, numbers to fill them with, comparison against float64,
// finite differences. The device is the CPU unless MICA_TEST_DEVICE names another.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/parallel.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/random.h"

namespace mica::test {

using Shape = std::vector<int64_t>;

inline Backend& tested() {
  const char* device = std::getenv("MICA_TEST_DEVICE");
  return backend(device != nullptr ? device_from_string(device) : Device{});
}

inline int64_t product_of(const Shape& shape) {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

/// A contiguous array in the tested device's memory. bool is held as uint8_t.
template <typename T>
class Array {
 public:
  /// Uninitialised, but for bytes that read as NaN or -1, so that an element left unwritten shows.
  explicit Array(Shape shape) : Array(shape, std::vector<T>()) {}

  Array(Shape shape, const std::vector<T>& values) : shape_(std::move(shape)) {
    const int64_t bytes = product_of(shape_) * static_cast<int64_t>(sizeof(T));
    Memory& memory = tested().memory();
    data_ = {memory.allocate(bytes), [&memory, bytes](void* data) { memory.free(data, bytes); }};
    if (values.empty()) {
      const std::vector<unsigned char> poison(static_cast<size_t>(bytes), 0xff);
      memory.copy_from_host(data_.get(), poison.data(), bytes);
    } else {
      EXPECT_EQ(static_cast<int64_t>(values.size()), product_of(shape_));
      memory.copy_from_host(data_.get(), values.data(), bytes);
    }
  }

  std::vector<T> values() const {
    std::vector<T> host(static_cast<size_t>(product_of(shape_)));
    tested().memory().copy_to_host(host.data(), data_.get(),
                                   static_cast<int64_t>(host.size()) * static_cast<int64_t>(sizeof(T)));
    return host;
  }

  View view(DType dtype = dtype_of<T>()) const {
    View view;
    view.data = data_.get();
    view.dtype = dtype;
    view.rank = static_cast<int>(shape_.size());
    int64_t stride = 1;
    for (size_t d = shape_.size(); d-- > 0;) {
      view.shape[d] = shape_[d];
      view.strides[d] = stride;
      stride *= shape_[d];
    }
    return view;
  }

  View boolean() const { return view(DType::boolean); }

 private:
  Shape shape_;
  std::shared_ptr<void> data_;
};

/// Numbers in [low, high) that float32 holds exactly where low and high are small integers.
inline std::vector<double> numbers(int64_t n, uint64_t seed, double low = -1, double high = 1) {
  std::vector<double> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<double>(
        static_cast<float>(low + (high - low) * static_cast<double>(uniform_from_word(philox_word(seed, 7, i)))));
  }
  return out;
}

template <typename To, typename From>
std::vector<To> cast(const std::vector<From>& values) {
  std::vector<To> out;
  out.reserve(values.size());
  for (const From& v : values) out.push_back(static_cast<To>(v));
  return out;
}

template <typename T>
Array<T> array(const Shape& shape, const std::vector<double>& values) {
  return Array<T>(shape, cast<T>(values));
}

template <typename T>
constexpr double kEpsilon = static_cast<double>(std::numeric_limits<T>::epsilon());

/// |got[i] - want[i]| <= bound[i]; NaN is close to NaN, infinity to itself.
template <typename T>
void expect_close(const std::vector<T>& got, const std::vector<double>& want, const std::vector<double>& bound,
                  const char* what = "") {
  ASSERT_EQ(got.size(), want.size()) << what;
  ASSERT_EQ(bound.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    const auto g = static_cast<double>(got[i]);
    if (g == want[i] || (std::isnan(g) && std::isnan(want[i]))) continue;
    ASSERT_LE(std::abs(g - want[i]), bound[i]) << what << " at " << i << ": " << g << ", not " << want[i];
  }
}

/// The bound is `relative` of the element's size, and at least `absolute`.
template <typename T>
void expect_close(const std::vector<T>& got, const std::vector<double>& want, double relative, double absolute,
                  const char* what = "") {
  std::vector<double> bound;
  for (const double w : want) bound.push_back(std::max(absolute, relative * std::abs(w)));
  expect_close(got, want, bound, what);
}

/// Compares gradient with central differences of f at x. With steps of 1e-5 their error is 1e-10 of the third
/// derivative and 1e-11 of f, so that 1e-7 leaves room for values of some hundreds.
inline void expect_gradient(const std::function<double(const std::vector<double>&)>& f, const std::vector<double>& x,
                            const std::vector<double>& gradient, const char* what = "", double tolerance = 1e-7) {
  ASSERT_EQ(x.size(), gradient.size()) << what;
  constexpr double kStep = 1e-5;
  std::vector<double> moved = x;
  // Emulated devices are slow: of each operand, eight elements all over it.
  const size_t every = tested().device().is_cpu() ? 1 : std::max<size_t>(1, x.size() / 8);
  for (size_t i = 0; i < x.size(); i += every) {
    moved[i] = x[i] + kStep;
    const double above = f(moved);
    moved[i] = x[i] - kStep;
    const double below = f(moved);
    moved[i] = x[i];
    const double slope = (above - below) / (2 * kStep);
    ASSERT_NEAR(gradient[i], slope, tolerance * std::max(1.0, std::abs(slope))) << what << " at " << i;
  }
}

/// Sum of a * b: turns an output into a number whose gradient with respect to the output is b.
inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Runs compute() with several numbers of threads (on a device, twice) and expects the same bytes each time.
template <typename T>
void expect_same_for_any_threads(const std::function<std::vector<T>()>& compute) {
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<T> expected = compute();
  const bool on_cpu = tested().device().is_cpu();
  for (const int threads : on_cpu ? std::vector<int>{2, 3, 8} : std::vector<int>{2}) {
    set_num_threads(threads);
    const std::vector<T> got = compute();
    ASSERT_EQ(got.size(), expected.size());
    EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(T)), 0) << threads << " threads";
  }
  set_num_threads(before);
}

using Floats = ::testing::Types<float, double>;

}  // namespace mica::test
