// Rotary position embedding; float32 goes through the SIMD kernel.

#include "mica/kernels/rotary.h"

#include <algorithm>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/simd/rotary.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

template <typename T>
void rotate(const View& x, const View& cos, const View& sin, RotaryLayout layout, int64_t offset, bool inverse,
            const View& y) {
  const int64_t heads = x.size(1), head_size = x.size(2), half = cos.size(1);
  const int64_t step = layout == RotaryLayout::interleaved ? 2 : 1;  // from a pair to the next
  const int64_t apart = layout == RotaryLayout::interleaved ? 1 : half;
  parallel_for(x.size(0), row_grain(heads * head_size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* c = cos.as<const T>() + row * cos.stride(0);
      const T* s = sin.as<const T>() + row * sin.stride(0);
      for (int64_t head = 0; head < heads; ++head) {
        const T* from = x.as<const T>() + row * x.stride(0) + head * x.stride(1);
        T* to = y.as<T>() + row * y.stride(0) + head * y.stride(1);
        if (from != to) {
          std::copy_n(from, offset, to);
          std::copy(from + offset + 2 * half, from + head_size, to + offset + 2 * half);
        }
        for (int64_t i = 0; i < half; ++i) {
          const int64_t k = offset + i * step;
          const T first = from[k], second = from[k + apart], turn = inverse ? -s[i] : s[i];
          to[k] = c[i] * first - turn * second;
          to[k + apart] = turn * first + c[i] * second;
        }
      }
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuRotary::rotate(const View& x, const View& cos, const View& sin, RotaryLayout layout, int64_t offset,
                       bool inverse, const View& y) {
  if (x.dtype == DType::float32) {
    return cpu::simd::rotary({.x = x.as<const float>(),
                              .x_row = x.stride(0),
                              .x_head = x.stride(1),
                              .cos = cos.as<const float>(),
                              .cos_row = cos.stride(0),
                              .sin = sin.as<const float>(),
                              .sin_row = sin.stride(0),
                              .y = y.as<float>(),
                              .y_row = y.stride(0),
                              .y_head = y.stride(1),
                              .heads = x.size(1),
                              .head_size = x.size(2),
                              .half = cos.size(1),
                              .offset = offset,
                              .layout = layout,
                              .inverse = inverse},
                             x.size(0));
  }
  cpu::with_floating("rotary.rotate", x.dtype,
                     [&](auto tag) { cpu::rotate<decltype(tag)>(x, cos, sin, layout, offset, inverse, y); });
}

}  // namespace mica
