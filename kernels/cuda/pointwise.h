#pragma once
// Functions of one element of each operand, over operands of one shape and any strides.
//
// Bytes: each operand moves once. Where all operands are contiguous a thread moves 16 bytes of the widest type at a
// time; else an element a thread, neighbours in the last dimension side by side.

#include <algorithm>
#include <array>
#include <utility>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/layout.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {

/// y = f(x...) in the operands' own types.
template <typename F, typename Y, typename... X>
__global__ void pointwise_kernel(F f, Layout<1 + static_cast<int>(sizeof...(X))> layout, Y* y, const X*... x) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < layout.count; i += step) {
    int64_t at[1 + sizeof...(X)];
    layout.offsets(i, at);
    const auto apply = [&]<size_t... v>(std::index_sequence<v...>) {
      return f(x[at[1 + v]]...);
    };
    y[at[0]] = apply(std::index_sequence_for<X...>{});
  }
}

template <int kPack, typename F, typename Y, typename... X>
__global__ void pointwise_flat_kernel(F f, int64_t packs, Y* y, const X*... x) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t p = int64_t{block_x()} * threads_x() + thread_x(); p < packs; p += step) {
    const auto apply = [&](const auto&... from) {
      Pack<Y, kPack> result;
      for (int i = 0; i < kPack; ++i) result.values[i] = f(from.values[i]...);
      store_pack(y + p * kPack, result);
    };
    apply(load_pack<kPack>(x + p * kPack)...);
  }
}

/// Puts y = f(x...) on the stream; the views have one shape and the types named. An x may be y.
template <typename Y, typename... X, typename F, typename... Views>
void pointwise(CudaDevice& on, const char* name, const F& f, const View& y, const Views&... x) {
  static_assert(sizeof...(X) == sizeof...(Views));
  const auto layout = layout_of(std::array<View, 1 + sizeof...(X)>{y, x...});
  if (layout.count == 0) return;
  constexpr int kPack = static_cast<int>(16 / std::max({sizeof(Y), sizeof(X)...}));
  const bool aligned =
      reinterpret_cast<uintptr_t>(y.data) % 16 == 0 && ((reinterpret_cast<uintptr_t>(x.data) % 16 == 0) && ...);
  if (layout.flat && aligned && layout.count % kPack == 0) {
    const int64_t packs = layout.count / kPack;
    launch(name, on.stream, over(packs), pointwise_flat_kernel<kPack, F, Y, X...>, f, packs, y.as<Y>(),
           x.template as<const X>()...);
  } else {
    launch(name, on.stream, over(layout.count), pointwise_kernel<F, Y, X...>, f, layout, y.as<Y>(),
           x.template as<const X>()...);
  }
}

}  // namespace mica::cuda
