// Random numbers from Philox words, the same as on the CPU: computed in double and rounded once. A thread makes the
// four words of a block, some 100 integer operations, and writes four elements: at 16 bytes a lane (float32) this stays
// at the memory's bandwidth for dropout, which reads and writes each element once.

#include <cmath>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/dropped.h"
#include "mica/kernels/cuda/device/seed.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/random.h"

namespace mica::cuda {
namespace {

// Calls body(block, u) for the blocks of four elements that cover n.
template <typename Body>
__device__ __forceinline__ void for_blocks(const Seed& seed, uint64_t stream, int64_t n, const Body& body) {
  const uint64_t key = seed.get();
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t block = int64_t{block_x()} * threads_x() + thread_x(); block * 4 < n; block += step) {
    body(block, uniform_block(key, stream, static_cast<uint64_t>(block)));
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
__global__ void uniform_kernel(Seed seed, uint64_t stream, double low, double high, int64_t n, T* y) {
  for_blocks(seed, stream, n, [&](int64_t block, const FourUniforms& four) {
    for (int i = 0; i < 4 && block * 4 + i < n; ++i) {
      y[block * 4 + i] = rounded<T>(low + (high - low) * static_cast<double>(four.u[i]));
    }
  });
}

// Elements 2j and 2j + 1 share the words w = 2j and v = 2j + 1 (Box and Muller):
//   r = sqrt(-2 ln(1 - u_w)),  n_2j = r cos(2 pi u_v),  n_2j+1 = r sin(2 pi u_v).
template <typename T>
__global__ void normal_kernel(Seed seed, uint64_t stream, double mean, double deviation, int64_t n, T* y) {
  for_blocks(seed, stream, n, [&](int64_t block, const FourUniforms& four) {
    for (int i = 0; i < 4; i += 2) {
      const int64_t at = block * 4 + i;
      const double radius = deviation * std::sqrt(-2 * std::log(1 - static_cast<double>(four.u[i])));
      const double angle = 2 * 3.14159265358979323846 * static_cast<double>(four.u[i + 1]);
      if (at < n) y[at] = rounded<T>(mean + radius * std::cos(angle));
      if (at + 1 < n) y[at + 1] = rounded<T>(mean + radius * std::sin(angle));
    }
  });
}

// y = dropout(x) + residual, four neighbours a thread.
template <typename T>
struct DropoutCall {
  DroppedElements<Computed<T>> dropped;
  const T *x, *residual;
  T* y;
  int64_t n;
  bool wide;
};

template <typename T, int kPack>
__device__ __forceinline__ void drop_at(const DropoutCall<T>& a, int64_t at) {
  const auto in = load_pack<kPack>(a.x + at);
  Computed<T> values[kPack];
  for (int i = 0; i < kPack; ++i) values[i] = widen(in.values[i]);
  a.dropped.drop(at, values);
  if (a.residual != nullptr) {
    const auto other = load_pack<kPack>(a.residual + at);
    for (int i = 0; i < kPack; ++i) values[i] = widen(narrow<T>(values[i])) + widen(other.values[i]);
  }
  Pack<T, kPack> out;
  for (int i = 0; i < kPack; ++i) out.values[i] = narrow<T>(values[i]);
  store_pack(a.y + at, out);
}

template <typename T>
__global__ void dropout_kernel(DropoutCall<T> a) {
  const int64_t step = int64_t{blocks_x()} * threads_x() * 4;
  for (int64_t at = (int64_t{block_x()} * threads_x() + thread_x()) * 4; at < a.n; at += step) {
    if (a.wide && at + 4 <= a.n) {
      drop_at<T, 4>(a, at);
    } else {
      for (int64_t i = at; i < at + 4 && i < a.n; ++i) drop_at<T, 1>(a, i);
    }
  }
}

}  // namespace

void CudaRandom::uniform(uint64_t seed, uint64_t stream, double low, double high, const View& y) {
  with_floating("random.uniform", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    launch("random.uniform", device_.stream, over(ceil_div(y.numel(), 4)), uniform_kernel<T>, Seed(seed), stream, low,
           high, y.numel(), y.as<T>());
  });
}

void CudaRandom::normal(uint64_t seed, uint64_t stream, double mean, double deviation, const View& y) {
  with_floating("random.normal", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    launch("random.normal", device_.stream, over(ceil_div(y.numel(), 4)), normal_kernel<T>, Seed(seed), stream, mean,
           deviation, y.numel(), y.as<T>());
  });
}

void CudaRandom::dropout(const Dropout& dropout, const View& x, const View& residual, const View& y) {
  with_floating("random.dropout", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const auto aligned = [](const View& view) {
      return reinterpret_cast<uintptr_t>(view.data) % (4 * static_cast<uintptr_t>(sizeof(T))) == 0;
    };
    const DropoutCall<T> call{
        DroppedElements<Computed<T>>(dropout),        x.as<const T>(), residual.as<const T>(), y.as<T>(), x.numel(),
        aligned(x) && aligned(residual) && aligned(y)};
    launch("random.dropout", device_.stream, over(ceil_div(x.numel(), 4)), dropout_kernel<T>, call);
  });
}

}  // namespace mica::cuda
