// Rows in 8 bits. Widening, which a step of decoding waits for, goes through the SIMD kernel.

#include "mica/kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/simd/quantize.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

// One group.
template <typename T>
void quantize(const T* x, int64_t size, int8_t* q, float* scale) {
  T most = 0;
  bool finite = true;
  for (int64_t i = 0; i < size; ++i) {
    const T magnitude = std::abs(x[i]);
    finite = finite && magnitude <= std::numeric_limits<float>::max();
    most = std::max(most, magnitude);
  }
  if (!finite || most < static_cast<T>(0x1p-119)) {
    *scale = finite ? 0.0F : std::numeric_limits<float>::quiet_NaN();
    std::fill_n(q, size, static_cast<int8_t>(0));
    return;
  }
  *scale = static_cast<float>(most) / 127;
  for (int64_t i = 0; i < size; ++i) {
    q[i] = static_cast<int8_t>(std::nearbyint(static_cast<float>(x[i]) / *scale));
  }
}

// body(vector, first element, elements, group) for all groups.
template <typename Body>
void each_group(const View& q, int64_t group, const Body& body) {
  const int64_t size = q.size(-1), vectors = size == 0 ? 0 : q.numel() / size;
  const int64_t groups = (size + group - 1) / group;
  parallel_for(vectors, row_grain(size), [&](int64_t begin, int64_t end) {
    for (int64_t vector = begin; vector < end; ++vector) {
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t first = g * group;
        body(vector * size + first, std::min(group, size - first), vector * groups + g);
      }
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuQuantize::quantize(const View& x, int64_t group, const View& q, const View& scales) {
  const auto run = [&](auto tag, const auto& rows) {
    using T = decltype(tag);
    cpu::each_group(q, group, [&](int64_t first, int64_t size, int64_t scale) {
      const T* from = rows(first, size);
      cpu::quantize(from, size, q.as<int8_t>() + first, scales.as<float>() + scale);
    });
  };
  if (is_floating(x.dtype) && item_size(x.dtype) == 2) {
    return run(float{}, [&](int64_t first, int64_t size) {
      auto* wide = cpu::scratch<float>(cpu::Scratch::row, size);
      cpu::convert(x.as<const uint16_t>() + first, x.dtype, 1, wide, DType::float32, 1, size);
      return wide;
    });
  }
  cpu::with_floating("quantize.quantize", x.dtype, [&](auto tag) {
    run(tag, [&](int64_t first, int64_t /*size*/) { return x.as<const decltype(tag)>() + first; });
  });
}

void CpuQuantize::dequantize(const View& q, const View& scales, int64_t group, const View& y) {
  if (!is_floating(y.dtype)) unsupported("quantize.dequantize", y.dtype, Device{});
  cpu::each_group(q, group, [&](int64_t first, int64_t size, int64_t scale) {
    const bool plain = y.dtype == DType::float32;
    float* wide = plain ? y.as<float>() + first : cpu::scratch<float>(cpu::Scratch::row, size);
    cpu::simd::dequantize(q.as<const int8_t>() + first, size, scales.as<const float>()[scale], wide);
    if (plain) return;
    cpu::convert(wide, DType::float32, 1, y.as<char>() + first * item_size(y.dtype), y.dtype, 1, size);
  });
}

}  // namespace mica
