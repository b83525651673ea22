// Rows in 8 bits. Bytes: widening reads one byte an element (and a scale a group, from the cache for all lanes but one)
// and writes 2 or 4: less than the attention that follows reads. Quantising reads the elements once and writes a byte
// each; a text's keys and values go through it once.
// Why it is fast: widening writes 16 bytes a lane, side by side over the warp, and reads the 4 or 8 that belong to them
// in one access, where groups are whole multiples of that. Quantising gives a group to a warp: neighbouring lanes take
// neighbouring elements, which the second pass (of at most 127 steps a scale) finds in the first cache.

#include <cmath>
#include <limits>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/quantize.h"

namespace mica::cuda {
namespace {

constexpr unsigned kGroupsAtOnce = 8;  // warps of a block

// Where groups lie.
struct Groups {
  int64_t vectors, size, group, groups;
};

Groups groups_of(const View& q, int64_t group) {
  const int64_t size = q.size(-1);
  return {size == 0 ? 0 : q.numel() / size, size, group, ceil_div(size, group)};
}

template <typename T>
__global__ void quantize_kernel(Groups a, const T* x, int8_t* q, float* scales) {
  const int64_t step = int64_t{blocks_x()} * threads_y();
  for (int64_t i = int64_t{block_x()} * threads_y() + thread_y(); i < a.vectors * a.groups; i += step) {
    const int64_t vector = i / a.groups, first = (i - vector * a.groups) * a.group;
    const int64_t size = a.group < a.size - first ? a.group : a.size - first;
    const T* from = x + vector * a.size + first;
    int8_t* to = q + vector * a.size + first;
    float most = 0;
    for (int64_t k = thread_x(); k < size; k += kWarp) {
      most = Largest{}(most, std::abs(static_cast<float>(widen(from[k]))));
    }
    most = combine_lanes(most, Largest{});
    const bool finite = most <= std::numeric_limits<float>::max();
    const bool none = !finite || most < 0x1p-119F;
    const float scale = finite ? none ? 0.0F : most / 127 : static_cast<float>(NAN);
    for (int64_t k = thread_x(); k < size; k += kWarp) {
      to[k] = none ? static_cast<int8_t>(0)
                   : static_cast<int8_t>(std::nearbyint(static_cast<float>(widen(from[k])) / scale));
    }
    if (thread_x() == 0) scales[i] = scale;
  }
}

// kPack neighbours have one scale.
template <typename T, int kPack>
__global__ void dequantize_kernel(Groups a, const int8_t* q, const float* scales, T* y) {
  const int64_t packs = a.size / kPack, step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < a.vectors * packs; i += step) {
    const int64_t vector = i / packs, first = (i - vector * packs) * kPack;
    const float scale = scales[vector * a.groups + first / a.group];
    const auto from = load_pack<kPack>(q + i * kPack);
    Pack<T, kPack> to;
    for (int k = 0; k < kPack; ++k) to.values[k] = narrow<T>(scale * static_cast<float>(from.values[k]));
    store_pack(y + i * kPack, to);
  }
}

}  // namespace

void CudaQuantize::quantize(const View& x, int64_t group, const View& q, const View& scales) {
  with_floating("quantize.quantize", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const Groups a = groups_of(q, group);
    const LaunchShape shape{over(a.vectors * a.groups, kGroupsAtOnce).grid, {kWarp, kGroupsAtOnce}};
    launch("quantize.quantize", device_.stream, shape, quantize_kernel<T>, a, x.as<const T>(), q.as<int8_t>(),
           scales.as<float>());
  });
}

void CudaQuantize::dequantize(const View& q, const View& scales, int64_t group, const View& y) {
  with_floating("quantize.dequantize", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    constexpr int kPack = kWide<T>;
    const Groups a = groups_of(q, group);
    const bool wide = a.size % kPack == 0 && (group % kPack == 0 || group >= a.size) && wide_rows(y, a.size) &&
                      reinterpret_cast<uintptr_t>(q.data) % kPack == 0;
    const auto kernel = wide ? dequantize_kernel<T, kPack> : dequantize_kernel<T, 1>;
    launch("quantize.dequantize", device_.stream, over(a.vectors * (a.size / (wide ? kPack : 1))), kernel, a,
           q.as<const int8_t>(), scales.as<const float>(), y.as<T>());
  });
}

}  // namespace mica::cuda
