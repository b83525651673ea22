// Random numbers from Philox words, the same as on the CPU: computed in double and rounded once. A thread makes the
// four words of a block, some 100 integer operations, and writes four elements: at 16 bytes a lane (float32) this stays
// at the memory's bandwidth for dropout, which reads and writes each element once.

#include <cmath>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/random.h"

namespace mica::cuda {
namespace {

struct Four {
  float u[4];
};

// The uniform numbers of the elements 4 block to 4 block + 3.
__device__ __forceinline__ Four uniform_block(uint64_t seed, uint64_t stream, uint64_t block) {
  const auto words = philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                             static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                            seed);
  return {{uniform_from_word(words[0]), uniform_from_word(words[1]), uniform_from_word(words[2]),
           uniform_from_word(words[3])}};
}

// Calls body(block, u) for the blocks of four elements that cover n.
template <typename Body>
__device__ __forceinline__ void for_blocks(uint64_t seed, uint64_t stream, int64_t n, const Body& body) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t block = int64_t{block_x()} * threads_x() + thread_x(); block * 4 < n; block += step) {
    body(block, uniform_block(seed, stream, static_cast<uint64_t>(block)));
  }
}

// A double rounded once to T.
template <typename T>
__device__ T rounded(double value) {
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>) {
    return static_cast<T>(value);
  } else {
    return narrow<T>(round_to_odd(value));
  }
}

template <typename T>
__global__ void uniform_kernel(uint64_t seed, uint64_t stream, double low, double high, int64_t n, T* y) {
  for_blocks(seed, stream, n, [&](int64_t block, const Four& four) {
    for (int i = 0; i < 4 && block * 4 + i < n; ++i) {
      y[block * 4 + i] = rounded<T>(low + (high - low) * static_cast<double>(four.u[i]));
    }
  });
}

// Elements 2j and 2j + 1 share the words w = 2j and v = 2j + 1 (Box and Muller):
//   r = sqrt(-2 ln(1 - u_w)),  n_2j = r cos(2 pi u_v),  n_2j+1 = r sin(2 pi u_v).
template <typename T>
__global__ void normal_kernel(uint64_t seed, uint64_t stream, double mean, double deviation, int64_t n, T* y) {
  for_blocks(seed, stream, n, [&](int64_t block, const Four& four) {
    for (int i = 0; i < 4; i += 2) {
      const int64_t at = block * 4 + i;
      const double radius = deviation * std::sqrt(-2 * std::log(1 - static_cast<double>(four.u[i])));
      const double angle = 2 * 3.14159265358979323846 * static_cast<double>(four.u[i + 1]);
      if (at < n) y[at] = rounded<T>(mean + radius * std::cos(angle));
      if (at + 1 < n) y[at + 1] = rounded<T>(mean + radius * std::sin(angle));
    }
  });
}

template <typename T>
__global__ void dropout_kernel(uint64_t seed, uint64_t stream, float threshold, Computed<T> scale, int64_t n,
                               const T* x, T* y, bool wide) {
  for_blocks(seed, stream, n, [&](int64_t block, const Four& four) {
    if (wide && block * 4 + 4 <= n) {
      const auto in = load_pack<4>(x + block * 4);
      Pack<T, 4> out;
      for (int i = 0; i < 4; ++i) {
        out.values[i] = four.u[i] >= threshold ? narrow<T>(widen(in.values[i]) * scale) : narrow<T>(Computed<T>(0));
      }
      store_pack(y + block * 4, out);
      return;
    }
    for (int i = 0; i < 4 && block * 4 + i < n; ++i) {
      const int64_t at = block * 4 + i;
      y[at] = four.u[i] >= threshold ? narrow<T>(widen(x[at]) * scale) : narrow<T>(Computed<T>(0));
    }
  });
}

}  // namespace

void CudaRandom::uniform(uint64_t seed, uint64_t stream, double low, double high, const View& y) {
  with_floating("random.uniform", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    launch("random.uniform", device_.stream, over(ceil_div(y.numel(), 4)), uniform_kernel<T>, seed, stream, low, high,
           y.numel(), y.as<T>());
  });
}

void CudaRandom::normal(uint64_t seed, uint64_t stream, double mean, double deviation, const View& y) {
  with_floating("random.normal", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    launch("random.normal", device_.stream, over(ceil_div(y.numel(), 4)), normal_kernel<T>, seed, stream, mean,
           deviation, y.numel(), y.as<T>());
  });
}

void CudaRandom::dropout(uint64_t seed, uint64_t stream, double p, const View& x, const View& y) {
  with_floating("random.dropout", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const auto aligned = [](const View& view) {
      return reinterpret_cast<uintptr_t>(view.data) % (4 * static_cast<uintptr_t>(sizeof(T))) == 0;
    };
    launch("random.dropout", device_.stream, over(ceil_div(x.numel(), 4)), dropout_kernel<T>, seed, stream,
           dropout_threshold(p), static_cast<Computed<T>>(1 / (1 - p)), x.numel(), x.as<const T>(), y.as<T>(),
           aligned(x) && aligned(y));
  });
}

}  // namespace mica::cuda
