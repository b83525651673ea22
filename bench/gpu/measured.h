#pragma once
// Times of a device: what gpu_kernels runs, and how it prints it.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "mica/kernels/backend.h"
#include "mica/tensor/tensor.h"

namespace mica::bench {

struct Settings {
  Device device{DeviceType::cuda, 0};
  bool quick = false;
  std::string only;
};

class Measured {
 public:
  explicit Measured(const Settings& settings) : settings_(settings) {}

  bool wanted(const std::string& name) const {
    return settings_.only.empty() || name.find(settings_.only) != std::string::npos;
  }

  // The median of groups' means, of enough runs for a steady number.
  double milliseconds(const std::function<void()>& body) const {
    Queue& queue = backend(settings_.device).queue();
    const auto group = [&](int runs) {
      queue.synchronize();
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < runs; ++i) body();
      queue.synchronize();
      return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / runs;
    };
    const double first = group(settings_.quick ? 1 : 3);
    if (settings_.quick) return first;
    const int runs = static_cast<int>(std::min(1000.0, std::max(5.0, 20 / group(3))));
    std::vector<double> means;
    for (int i = 0; i < 7; ++i) means.push_back(group(runs));
    std::nth_element(means.begin(), means.begin() + 3, means.end());
    return means[3];
  }

  void print(const std::string& name, double milliseconds, double bytes, double operations) const {
    std::printf("{\"case\": \"%s\", \"ms\": %.6f, \"bytes\": %.0f, \"operations\": %.0f}\n", name.c_str(), milliseconds,
                bytes, operations);
    std::fflush(stdout);
  }
  void run(const std::string& name, double bytes, double operations, const std::function<void()>& body) const {
    if (wanted(name)) print(name, milliseconds(body), bytes, operations);
  }

  Tensor random(const Shape& shape, DType dtype) const {
    std::vector<float> values(static_cast<size_t>(shape.numel()));
    uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<float>(state >> 8) * 0x1p-23F - 1;
    }
    return Tensor::from(values, shape).to(settings_.device).to(dtype);
  }
  Tensor empty(const Shape& shape, DType dtype) const { return Tensor::empty(shape, dtype, settings_.device); }
  Backend& device() const { return backend(settings_.device); }
  bool quick() const { return settings_.quick; }

 private:
  Settings settings_;
};

/// models.cpp: training steps, inference, decoding.
void models(const Measured& m);

}  // namespace mica::bench
