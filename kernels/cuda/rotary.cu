// Rotary position embedding. Bytes: x read and y written once, cos and sin once a row (from the cache for every head
// but the first); 6 operations a pair, far below the memory's floor. A thread turns one pair or copies one element;
// heads lie side by side, so that neighbouring threads touch neighbouring elements.

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/rotary.h"

namespace mica::cuda {
namespace {

template <typename T>
struct Rotary {
  const T *x, *cos, *sin;
  T* y;
  int64_t rows, heads, head_size, half, offset;
  int64_t x_row, x_head, y_row, y_head, cos_row, sin_row;
  int64_t step, apart;  // from a pair to the next, and from its first element to its second
  bool inverse;
};

template <typename T>
__global__ void rotary_kernel(Rotary<T> a) {
  using C = Computed<T>;
  const int64_t work = a.head_size - a.half;  // pairs, then elements that are copied
  const int64_t threads = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < a.rows * a.heads * work; i += threads) {
    const int64_t vector = i / work, k = i - vector * work, row = vector / a.heads, head = vector - row * a.heads;
    const T* x = a.x + row * a.x_row + head * a.x_head;
    T* y = a.y + row * a.y_row + head * a.y_head;
    if (k >= a.half) {
      const int64_t rest = k - a.half, at = rest < a.offset ? rest : rest + 2 * a.half;
      y[at] = x[at];
      continue;
    }
    const C c = widen(a.cos[row * a.cos_row + k]), s = widen(a.sin[row * a.sin_row + k]);
    const C turn = a.inverse ? -s : s;
    const int64_t first = a.offset + k * a.step, second = first + a.apart;
    const C x1 = widen(x[first]), x2 = widen(x[second]);
    y[first] = narrow<T>(c * x1 - turn * x2);
    y[second] = narrow<T>(turn * x1 + c * x2);
  }
}

}  // namespace

void CudaRotary::rotate(const View& x, const View& cos, const View& sin, RotaryLayout layout, int64_t offset,
                        bool inverse, const View& y) {
  with_floating("rotary.rotate", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const bool interleaved = layout == RotaryLayout::interleaved;
    const int64_t half = cos.size(1);
    const Rotary<T> a{x.as<const T>(),
                      cos.as<const T>(),
                      sin.as<const T>(),
                      y.as<T>(),
                      x.size(0),
                      x.size(1),
                      x.size(2),
                      half,
                      offset,
                      x.stride(0),
                      x.stride(1),
                      y.stride(0),
                      y.stride(1),
                      cos.stride(0),
                      sin.stride(0),
                      interleaved ? 2 : 1,
                      interleaved ? 1 : half,
                      inverse};
    launch("rotary.rotate", device_.stream, over(a.rows * a.heads * (a.head_size - half)), rotary_kernel<T>, a);
  });
}

}  // namespace mica::cuda
