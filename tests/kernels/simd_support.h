#pragma once
// What the tests of the SIMD kernels share: random arrays, every target of this machine, several numbers of threads.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/targets.h"
#include "mica/kernels/view.h"

// After targets.h, which says what Highway compiles for.
#include <hwy/highway.h>
#include <hwy/targets.h>

namespace mica {

inline std::vector<float> random_floats(int64_t count, uint32_t seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

inline View matrix(std::vector<float>& values, int64_t rows, int64_t columns, int64_t stride) {
  return {.data = values.data(), .dtype = DType::float32, .rank = 2, .shape = {rows, columns}, .strides = {stride, 1}};
}

inline View row_vector(std::vector<float>& values) {
  return {.data = values.data(),
          .dtype = DType::float32,
          .rank = 1,
          .shape = {static_cast<int64_t>(values.size())},
          .strides = {1}};
}

/// Calls body under each SIMD target that was compiled and that this CPU has, the plain one included. Other devices
/// know no targets: once.
template <typename Body>
void for_each_target(const Body& body) {
  if (std::getenv("MICA_TEST_DEVICE") != nullptr) return body();
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
}

/// Calls body with 1, 2 and 3 threads.
template <typename Body>
void for_thread_counts(const Body& body) {
  const int before = num_threads();
  for (const int threads : {1, 2, 3}) {
    SCOPED_TRACE(threads);
    set_num_threads(threads);
    body();
  }
  set_num_threads(before);
}

}  // namespace mica
