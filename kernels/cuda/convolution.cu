// Convolutions over the tokens of each text.
//
// depthwise: bytes: x read and y written once, 2 kernel_size operations an element: the memory's floor up to kernels of
// some hundred taps. A thread owns a channel and a strip of kStrip rows, whose sums stay in registers while the strip's
// rows, and the few around them, are read once each: (kStrip + kernel_size - 1) / kStrip reads an element, those beyond
// the first from the L2 cache. Neighbouring threads own neighbouring channels. The filters lie in shared memory, a
// tap's channels side by side, since a thread's own kernel_size numbers in memory would scatter. depthwise_backward: x
// and dy read once; strips of rows are summed by many blocks, then in order: the same bits always. unfold, fold: each
// element of the larger side moved once. The products between are LinearKernels'.

#include <algorithm>

#include "mica/kernels/convolution.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/device/texts.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

constexpr unsigned kChannels = 128;  // of a block: a thread each
constexpr int kStrip = 8;            // rows of a thread
constexpr int kTaps = 16;            // whose filters lie in shared memory at a time

struct Texts {
  const int32_t* begins;
  int count;
  explicit Texts(const Segments& segments) : begins(segments.device), count(static_cast<int>(segments.count())) {}
};

template <typename T>
struct Depthwise {
  const T *x, *weight, *bias;
  T* y;
  int64_t rows, channels, kernel_size, before;
  bool flipped;
};

// The strip's texts, and the filters of the block's channels.
template <typename C>
struct DepthwiseShared {
  int32_t begin[kStrip], end[kStrip];
  C filters[kTaps][kChannels];
};

template <typename T>
__global__ void depthwise_kernel(Depthwise<T> a, Texts texts) {
  using C = Computed<T>;
  auto& shared = shared_memory<DepthwiseShared<C>>();
  const unsigned lane = thread_x();
  const int64_t channel = int64_t{block_y()} * kChannels + lane;
  const bool alive = channel < a.channels;
  for (int64_t strip = block_x(); strip * kStrip < a.rows; strip += blocks_x()) {
    const int64_t first = strip * kStrip;
    block_barrier();  // the strip before is done with what is shared
    if (lane < kStrip) {
      const int64_t row = first + lane;
      const int text = row < a.rows ? text_of(texts.begins, texts.count, row) : 0;
      shared.begin[lane] = row < a.rows ? texts.begins[text] : 0;
      shared.end[lane] = row < a.rows ? texts.begins[text + 1] : 0;  // a row that isn't there sees nothing
    }
    C sums[kStrip];
    const C bias = alive && a.bias != nullptr ? widen(a.bias[channel]) : C{0};
    for (C& sum : sums) sum = bias;
    for (int64_t begin = 0; begin < a.kernel_size; begin += kTaps) {
      const auto taps = static_cast<int>(a.kernel_size - begin < kTaps ? a.kernel_size - begin : kTaps);
      if (begin > 0) block_barrier();
      const bool held = a.kernel_size <= kTaps && strip != int64_t{block_x()};  // from the strip before
      for (int k = 0; k < taps && alive && !held; ++k) {
        const int64_t tap = begin + k;
        shared.filters[k][lane] =
            widen(a.weight[channel * a.kernel_size + (a.flipped ? a.kernel_size - 1 - tap : tap)]);
      }
      block_barrier();
      if (!alive) continue;
      // Row `first + at` is tap at + before - r of row first + r.
      const int64_t low = begin - a.before, high = low + taps + kStrip - 1;
      for (int64_t at = low; at < high; ++at) {
        const int64_t row = first + at;
        if (row < 0 || row >= a.rows) continue;
        const C in = widen(a.x[row * a.channels + channel]);
#pragma unroll
        for (int r = 0; r < kStrip; ++r) {
          const auto k = static_cast<int>(at - low) - r;
          if (k >= 0 && k < taps && row >= shared.begin[r] && row < shared.end[r])
            sums[r] += shared.filters[k][lane] * in;
        }
      }
    }
    if (!alive) continue;
    for (int r = 0; r < kStrip && first + r < a.rows; ++r) a.y[(first + r) * a.channels + channel] = narrow<T>(sums[r]);
  }
}

template <typename T>
struct DepthwiseBackward {
  const T *x, *dy;
  int64_t rows, channels, kernel_size, before, rows_of_part;
};

// Block (channels, part of the rows, taps): partial[part, tap, channel], the bias's share as one tap more.
constexpr int kHeldTaps = 8;

template <typename T>
__global__ void depthwise_parts_kernel(DepthwiseBackward<T> a, Texts texts, Computed<T>* partial) {
  using C = Computed<T>;
  const int64_t channel = int64_t{block_x()} * kChannels + thread_x(), part = block_y();
  const int64_t tap = int64_t{block_z()} * kHeldTaps;
  if (channel >= a.channels) return;
  C sums[kHeldTaps] = {}, of_bias = 0;
  const int64_t first = part * a.rows_of_part;
  const int64_t last = first + a.rows_of_part < a.rows ? first + a.rows_of_part : a.rows;
  int64_t begin = 0, end = 0;
  for (int64_t row = first; row < last; ++row) {
    if (row >= end) {
      const int text = text_of(texts.begins, texts.count, row);
      begin = texts.begins[text];
      end = texts.begins[text + 1];
    }
    const C out = widen(a.dy[row * a.channels + channel]);
    of_bias += out;
#pragma unroll
    for (int k = 0; k < kHeldTaps; ++k) {
      const int64_t at = row + tap + k - a.before;
      if (at >= begin && at < end && tap + k < a.kernel_size) sums[k] += out * widen(a.x[at * a.channels + channel]);
    }
  }
  C* mine = partial + part * (a.kernel_size + 1) * a.channels + channel;
  for (int k = 0; k < kHeldTaps && tap + k < a.kernel_size; ++k) mine[(tap + k) * a.channels] = sums[k];
  if (tap == 0) mine[a.kernel_size * a.channels] = of_bias;
}

template <typename T>
__global__ void depthwise_sum_kernel(const Computed<T>* partial, int64_t parts, int64_t channels, int64_t kernel_size,
                                     T* dweight, T* dbias) {
  const int64_t i = int64_t{block_x()} * threads_x() + thread_x(), size = (kernel_size + 1) * channels;
  if (i >= size) return;
  Computed<T> sum = 0;
  for (int64_t part = 0; part < parts; ++part) sum += partial[part * size + i];
  const int64_t k = i / channels, channel = i % channels;
  if (k < kernel_size) {
    dweight[channel * kernel_size + k] = narrow<T>(sum);
  } else if (dbias != nullptr) {
    dbias[channel] = narrow<T>(sum);
  }
}

struct Unfold {
  int64_t rows, channels, part, kernel_size, before;
};

// A thread a row and channel.
template <typename T>
__global__ void unfold_kernel(const T* x, Unfold a, Texts texts, T* y) {
  const int64_t threads = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < a.rows * a.channels; i += threads) {
    const int64_t row = i / a.channels, channel = i % a.channels, group = channel / a.part;
    const int text = text_of(texts.begins, texts.count, row);
    const int64_t begin = texts.begins[text], end = texts.begins[text + 1];
    T* out = y + ((group * a.rows + row) * a.part + channel % a.part) * a.kernel_size;
    for (int64_t k = 0; k < a.kernel_size; ++k) {
      const int64_t at = row + k - a.before;
      out[k] = at >= begin && at < end ? x[at * a.channels + channel] : T{};
    }
  }
}

template <typename T>
__global__ void fold_kernel(const T* dy, Unfold a, Texts texts, T* dx) {
  const int64_t threads = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < a.rows * a.channels; i += threads) {
    const int64_t row = i / a.channels, channel = i % a.channels, group = channel / a.part;
    const int text = text_of(texts.begins, texts.count, row);
    const int64_t begin = texts.begins[text], end = texts.begins[text + 1];
    Computed<T> sum = 0;
    for (int64_t k = 0; k < a.kernel_size; ++k) {
      const int64_t at = row - k + a.before;
      if (at < begin || at >= end) continue;
      sum += widen(dy[((group * a.rows + at) * a.part + channel % a.part) * a.kernel_size + k]);
    }
    dx[i] = narrow<T>(sum);
  }
}

}  // namespace

void CudaConvolution::depthwise(const View& x, const Segments& texts, const View& weight, const View& bias,
                                int64_t before, bool flipped, const View& y) {
  with_floating("convolution.depthwise", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t rows = x.size(0), channels = x.size(1), kernel_size = weight.size(1);
    constexpr int64_t kMostStrips = 1024;  // for each block of channels: enough for any GPU
    const int64_t strips = std::min(ceil_div(rows, kStrip), kMostStrips);
    launch("convolution.depthwise", device_.stream,
           {{static_cast<unsigned>(strips), static_cast<unsigned>(ceil_div(channels, kChannels))},
            {kChannels},
            sizeof(DepthwiseShared<Computed<T>>)},
           depthwise_kernel<T>,
           {x.as<const T>(), weight.as<const T>(), bias.as<const T>(), y.as<T>(), rows, channels, kernel_size, before,
            flipped},
           Texts(texts));
  });
}

void CudaConvolution::depthwise_backward(const View& x, const View& dy, const Segments& texts, int64_t before,
                                         const View& dweight, const View& dbias) {
  const char* name = "convolution.depthwise_backward";
  with_floating(name, x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    constexpr int64_t kMostParts = 256, kLeastRows = 32;
    const int64_t rows = x.size(0), channels = x.size(1), kernel_size = dweight.size(1);
    const int64_t parts = std::clamp<int64_t>(rows / kLeastRows, 1, kMostParts);
    const int64_t numbers = (kernel_size + 1) * channels;
    C* partial = static_cast<C*>(device_.queue.workspace(parts * numbers * static_cast<int64_t>(sizeof(C))));
    launch(name, device_.stream,
           {{static_cast<unsigned>(ceil_div(channels, kChannels)), static_cast<unsigned>(parts),
             static_cast<unsigned>(ceil_div(kernel_size, kHeldTaps))},
            {kChannels}},
           depthwise_parts_kernel<T>,
           {x.as<const T>(), dy.as<const T>(), rows, channels, kernel_size, before, ceil_div(rows, parts)},
           Texts(texts), partial);
    launch(name, device_.stream, {{static_cast<unsigned>(ceil_div(numbers, 128))}, {128}}, depthwise_sum_kernel<T>,
           partial, parts, channels, kernel_size, dweight.as<T>(), dbias.as<T>());
  });
}

void CudaConvolution::unfold(const View& x, const Segments& texts, int64_t before, const View& y) {
  with_floating("convolution.unfold", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t rows = x.size(0), channels = x.size(1), part = channels / y.size(0);
    launch("convolution.unfold", device_.stream, over(rows * channels), unfold_kernel<T>, x.as<const T>(),
           {rows, channels, part, y.size(2) / part, before}, Texts(texts), y.as<T>());
  });
}

void CudaConvolution::fold(const View& dy, const Segments& texts, int64_t before, const View& dx) {
  with_floating("convolution.fold", dy.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t rows = dx.size(0), channels = dx.size(1), part = channels / dy.size(0);
    launch("convolution.fold", device_.stream, over(rows * channels), fold_kernel<T>, dy.as<const T>(),
           {rows, channels, part, dy.size(2) / part, before}, Texts(texts), dx.as<T>());
  });
}

}  // namespace mica::cuda
