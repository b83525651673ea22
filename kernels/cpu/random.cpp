// Random numbers from Philox words, computed in double and rounded once.
// uniform: element i takes word i. normal: elements 2j and 2j + 1 share the words w = 2j and v = 2j + 1 (Box and
// Muller):
//   r = sqrt(-2 ln(1 - u_w)),  n_2j = r cos(2 pi u_v),  n_2j+1 = r sin(2 pi u_v).

#include "mica/kernels/random.h"

#include <cmath>
#include <numbers>
#include <type_traits>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/pointwise.h"
#include "mica/kernels/cpu/simd/random.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

constexpr int64_t kChunk = 256;  // a multiple of 4: chunks start on Philox blocks

// Calls body(first, count, u) with the uniform numbers u[0, count) of the elements from first on.
template <typename Body>
void for_uniform(uint64_t seed, uint64_t stream, int64_t n, const Body& body) {
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  parallel_for(chunks, 8, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      float u[kChunk];
      simd::uniform_blocks(seed, stream, static_cast<uint64_t>(chunk * kChunk) / 4, kChunk / 4, u);
      body(chunk * kChunk, std::min(kChunk, n - chunk * kChunk), u);
    }
  });
}

void store_chunk(const double* values, const View& y, int64_t first, int64_t count) {
  store(values, y.as<char>() + first * item_size(y.dtype), y.dtype, 1, count);
}

void check_floating(const char* kernel, const View& y) {
  if (!is_floating(y.dtype)) unsupported(kernel, y.dtype, Device{});
}

}  // namespace

template <typename T>
void drop_elements(const Dropout& dropout, int64_t first, const T* x, const T* residual, T* y, int64_t count) {
  if constexpr (std::is_same_v<T, float>) {
    simd::drop_elements(dropout, static_cast<uint64_t>(first), x, residual, y, count);
  } else {
    const auto scale = static_cast<T>(1 / (1 - dropout.p));
    const float threshold = dropout_threshold(dropout.p);
    for (int64_t i = 0; i < count; ++i) {
      const float u = uniform_from_word(philox_word(dropout.seed, dropout.stream, static_cast<uint64_t>(first + i)));
      y[i] = (u >= threshold ? x[i] * scale : T(0)) + (residual != nullptr ? residual[i] : T(0));
    }
  }
}

template void drop_elements(const Dropout&, int64_t, const float*, const float*, float*, int64_t);
template void drop_elements(const Dropout&, int64_t, const double*, const double*, double*, int64_t);

}  // namespace cpu

using namespace cpu;

void CpuRandom::uniform(uint64_t seed, uint64_t stream, double low, double high, const View& y) {
  check_floating("random.uniform", y);
  for_uniform(seed, stream, y.numel(), [&](int64_t first, int64_t count, const float* u) {
    double values[kChunk];
    for (int64_t i = 0; i < count; ++i) values[i] = low + (high - low) * static_cast<double>(u[i]);
    store_chunk(values, y, first, count);
  });
}

void CpuRandom::normal(uint64_t seed, uint64_t stream, double mean, double deviation, const View& y) {
  check_floating("random.normal", y);
  for_uniform(seed, stream, y.numel(), [&](int64_t first, int64_t count, const float* u) {
    double values[kChunk];
    for (int64_t i = 0; i < count; i += 2) {
      const double radius = deviation * std::sqrt(-2 * std::log(1 - static_cast<double>(u[i])));
      const double angle = 2 * std::numbers::pi * static_cast<double>(u[i + 1]);
      values[i] = mean + radius * std::cos(angle);
      values[i + 1] = mean + radius * std::sin(angle);
    }
    store_chunk(values, y, first, count);
  });
}

void CpuRandom::dropout(const Dropout& dropout, const View& x, const View& residual, const View& y) {
  with_floating("random.dropout", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const int64_t n = x.numel();
    parallel_for((n + kChunk - 1) / kChunk, 8, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kChunk, count = std::min(end * kChunk, n) - first;
      drop_elements<T>(dropout, first, x.as<const T>() + first, residual ? residual.as<const T>() + first : nullptr,
                       y.as<T>() + first, count);
    });
  });
}

}  // namespace mica
