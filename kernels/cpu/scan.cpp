// Scans along the rows of each text. A task is a text and a block of channels: its state stays in registers or L1 while
// rows stream by, a, b read and h written once, 3 elements moved for 2 operations.

#include "mica/kernels/scan.h"

#include <algorithm>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

constexpr int64_t kChannels = 64;

// body(text, column, width) for each text and block of channels.
template <typename Body>
void each_block(const Segments& texts, int64_t rows, int64_t channels, const Body& body) {
  const int64_t blocks = (channels + kChannels - 1) / kChannels;
  const int64_t length = rows / std::max<int64_t>(1, texts.count()) + 1;
  parallel_for(texts.count() * blocks, row_grain(length * kChannels), [&](int64_t from, int64_t to) {
    for (int64_t task = from; task < to; ++task) {
      const int64_t column = task % blocks * kChannels;
      body(task / blocks, column, std::min(kChannels, channels - column));
    }
  });
}

template <typename T>
void linear(const View& a, const View& b, const View& initial, const Segments& texts, const View& h) {
  const int64_t channels = a.size(1);
  each_block(texts, a.size(0), channels, [&](int64_t text, int64_t column, int64_t width) {
    T state[kChannels] = {};
    if (initial) std::copy_n(initial.as<const T>() + text * channels + column, width, state);
    for (int64_t row = texts.begin(text); row < texts.begin(text) + texts.length(text); ++row) {
      const int64_t at = row * channels + column;
      const T* factor = a.as<const T>() + at;
      const T* term = b.as<const T>() + at;
      T* out = h.as<T>() + at;
      for (int64_t c = 0; c < width; ++c) out[c] = state[c] = factor[c] * state[c] + term[c];
    }
  });
}

template <typename T>
void linear_backward(const View& a, const View& h, const View& initial, const View& dh, const Segments& texts,
                     const View& da, const View& db, const View& dinitial) {
  const int64_t channels = a.size(1);
  each_block(texts, a.size(0), channels, [&](int64_t text, int64_t column, int64_t width) {
    T carried[kChannels] = {};  // a[r + 1] g[r + 1]
    const T zeros[kChannels] = {};
    const int64_t first = texts.begin(text);
    const T* start = initial ? initial.as<const T>() + text * channels + column : zeros;
    for (int64_t row = first + texts.length(text) - 1; row >= first; --row) {
      const int64_t at = row * channels + column;
      const T* before = row == first ? start : h.as<const T>() + at - channels;
      const T* factor = a.as<const T>() + at;
      const T* gradient = dh.as<const T>() + at;
      T* of_a = da.as<T>() + at;
      T* of_b = db.as<T>() + at;
      for (int64_t c = 0; c < width; ++c) {
        const T g = gradient[c] + carried[c];
        of_b[c] = g;
        of_a[c] = g * before[c];
        carried[c] = factor[c] * g;
      }
    }
    if (dinitial) std::copy_n(carried, width, dinitial.as<T>() + text * channels + column);
  });
}

}  // namespace
}  // namespace cpu

using namespace cpu;

void CpuScan::linear(const View& a, const View& b, const View& initial, const Segments& texts, const View& h) {
  with_floating("scan.linear", a.dtype, [&](auto tag) { cpu::linear<decltype(tag)>(a, b, initial, texts, h); });
}

void CpuScan::linear_backward(const View& a, const View& h, const View& initial, const View& dh, const Segments& texts,
                              const View& da, const View& db, const View& dinitial) {
  with_floating("scan.linear_backward", a.dtype,
                [&](auto tag) { cpu::linear_backward<decltype(tag)>(a, h, initial, dh, texts, da, db, dinitial); });
}

}  // namespace mica
