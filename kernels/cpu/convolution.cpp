// Convolutions over the tokens of each text. depthwise of float32 goes through the SIMD kernel; the rest moves each
// element once or twice and is left to the compiler.

#include "mica/kernels/convolution.h"

#include <algorithm>
#include <vector>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/simd/convolution.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

// body(begin, end, first, last) for the rows [first, last) of each text [begin, end) of which some are in [from, to).
template <typename Body>
void each_text(const Segments& texts, int64_t from, int64_t to, const Body& body) {
  int64_t text = std::upper_bound(texts.host.begin(), texts.host.end(), from) - texts.host.begin() - 1;
  for (; text < texts.count() && texts.begin(text) < to; ++text) {
    const int64_t begin = texts.begin(text), end = begin + texts.length(text);
    const int64_t first = std::max(begin, from), last = std::min(end, to);
    if (first < last) body(begin, end, first, last);
  }
}

// The filters, tap by tap: [kernel_size, channels].
template <typename T>
const T* taps_of(const View& weight, bool flipped) {
  const int64_t channels = weight.size(0), kernel_size = weight.size(1);
  T* taps = scratch<T>(Scratch::parameter_a, channels * kernel_size);
  for (int64_t k = 0; k < kernel_size; ++k) {
    const T* from = weight.as<const T>() + (flipped ? kernel_size - 1 - k : k);
    for (int64_t c = 0; c < channels; ++c) taps[k * channels + c] = from[c * kernel_size];
  }
  return taps;
}

template <typename T>
void depthwise(const View& x, const Segments& texts, const View& weight, const View& bias, int64_t before, bool flipped,
               const View& y) {
  const int64_t rows = x.size(0), channels = x.size(1), kernel_size = weight.size(1);
  const T* taps = taps_of<T>(weight, flipped);
  parallel_for(rows, row_grain(channels * kernel_size), [&](int64_t from, int64_t to) {
    each_text(texts, from, to, [&](int64_t begin, int64_t end, int64_t first, int64_t last) {
      if constexpr (std::is_same_v<T, float>) {
        return simd::depthwise({x.as<const float>(), taps, bias.as<const float>(), y.as<float>(), channels, kernel_size,
                                before, begin, end},
                               first, last - first);
      }
      for (int64_t row = first; row < last; ++row) {
        T* out = y.as<T>() + row * channels;
        for (int64_t c = 0; c < channels; ++c) out[c] = bias ? bias.as<const T>()[c] : T{0};
        for (int64_t k = std::max<int64_t>(0, begin - row + before); k < std::min(kernel_size, end - row + before);
             ++k) {
          const T* in = x.as<const T>() + (row + k - before) * channels;
          for (int64_t c = 0; c < channels; ++c) out[c] += taps[k * channels + c] * in[c];
        }
      }
    });
  });
}

// A task is a block of channels, over all rows: the same sums whatever the number of threads.
constexpr int64_t kChannels = 16;

template <typename T>
void depthwise_backward(const View& x, const View& dy, const Segments& texts, int64_t before, const View& dweight,
                        const View& dbias) {
  const int64_t channels = x.size(1), kernel_size = dweight.size(1);
  const int64_t blocks = (channels + kChannels - 1) / kChannels;
  parallel_for(blocks, row_grain(x.size(0) * kChannels * kernel_size), [&](int64_t from, int64_t to) {
    std::vector<double> sums(static_cast<size_t>((kernel_size + 1) * kChannels));  // the bias's after the taps'
    for (int64_t block = from; block < to; ++block) {
      const int64_t column = block * kChannels, width = std::min(kChannels, channels - column);
      std::ranges::fill(sums, 0.0);
      each_text(texts, 0, x.size(0), [&](int64_t begin, int64_t end, int64_t, int64_t) {
        for (int64_t row = begin; row < end; ++row) {
          const T* out = dy.as<const T>() + row * channels + column;
          double* of_bias = sums.data() + kernel_size * kChannels;
          for (int64_t c = 0; c < width; ++c) of_bias[c] += static_cast<double>(out[c]);
          for (int64_t k = std::max<int64_t>(0, begin - row + before); k < std::min(kernel_size, end - row + before);
               ++k) {
            const T* in = x.as<const T>() + (row + k - before) * channels + column;
            double* sum = sums.data() + k * kChannels;
            for (int64_t c = 0; c < width; ++c) sum[c] += static_cast<double>(out[c]) * static_cast<double>(in[c]);
          }
        }
      });
      for (int64_t c = 0; c < width; ++c) {
        for (int64_t k = 0; k < kernel_size; ++k) {
          dweight.as<T>()[(column + c) * kernel_size + k] =
              static_cast<T>(sums[static_cast<size_t>(k * kChannels + c)]);
        }
        if (dbias) dbias.as<T>()[column + c] = static_cast<T>(sums[static_cast<size_t>(kernel_size * kChannels + c)]);
      }
    }
  });
}

template <typename T>
void unfold(const View& x, const Segments& texts, int64_t before, const View& y) {
  const int64_t rows = x.size(0), channels = x.size(1), groups = y.size(0), part = channels / groups;
  const int64_t kernel_size = y.size(2) / part;
  parallel_for(rows, row_grain(channels * kernel_size), [&](int64_t from, int64_t to) {
    each_text(texts, from, to, [&](int64_t begin, int64_t end, int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        for (int64_t group = 0; group < groups; ++group) {
          T* out = y.as<T>() + (group * rows + row) * part * kernel_size;
          for (int64_t k = 0; k < kernel_size; ++k) {
            const int64_t at = row + k - before;
            const bool inside = at >= begin && at < end;
            const T* in = x.as<const T>() + (inside ? at * channels + group * part : 0);
            for (int64_t i = 0; i < part; ++i) out[i * kernel_size + k] = inside ? in[i] : T{0};
          }
        }
      }
    });
  });
}

template <typename T>
void fold(const View& dy, const Segments& texts, int64_t before, const View& dx) {
  const int64_t rows = dx.size(0), channels = dx.size(1), groups = dy.size(0), part = channels / groups;
  const int64_t kernel_size = dy.size(2) / part;
  parallel_for(rows, row_grain(channels * kernel_size), [&](int64_t from, int64_t to) {
    each_text(texts, from, to, [&](int64_t begin, int64_t end, int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        for (int64_t group = 0; group < groups; ++group) {
          T* out = dx.as<T>() + row * channels + group * part;
          std::fill_n(out, part, T{0});
          for (int64_t k = 0; k < kernel_size; ++k) {
            const int64_t at = row - k + before;
            if (at < begin || at >= end) continue;
            const T* in = dy.as<const T>() + (group * rows + at) * part * kernel_size + k;
            for (int64_t i = 0; i < part; ++i) out[i] += in[i * kernel_size];
          }
        }
      }
    });
  });
}

}  // namespace
}  // namespace cpu

using namespace cpu;

void CpuConvolution::depthwise(const View& x, const Segments& texts, const View& weight, const View& bias,
                               int64_t before, bool flipped, const View& y) {
  with_floating("convolution.depthwise", x.dtype,
                [&](auto tag) { cpu::depthwise<decltype(tag)>(x, texts, weight, bias, before, flipped, y); });
}

void CpuConvolution::depthwise_backward(const View& x, const View& dy, const Segments& texts, int64_t before,
                                        const View& dweight, const View& dbias) {
  with_floating("convolution.depthwise_backward", x.dtype,
                [&](auto tag) { cpu::depthwise_backward<decltype(tag)>(x, dy, texts, before, dweight, dbias); });
}

void CpuConvolution::unfold(const View& x, const Segments& texts, int64_t before, const View& y) {
  with_floating("convolution.unfold", x.dtype, [&](auto tag) { cpu::unfold<decltype(tag)>(x, texts, before, y); });
}

void CpuConvolution::fold(const View& dy, const Segments& texts, int64_t before, const View& dx) {
  with_floating("convolution.fold", dy.dtype, [&](auto tag) { cpu::fold<decltype(tag)>(dy, texts, before, dx); });
}

}  // namespace mica
