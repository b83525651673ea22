// The clamped SwiGLU and its gradients; float32 goes through the SIMD kernel. The formula stands in activation.h.

#include "mica/kernels/cpu/simd/swiglu.h"

#include <cmath>

#include "mica/kernels/activation.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

// Row `row` of a [rows, size] view of any strides.
template <typename T>
struct Row {
  T* first;
  int64_t stride;
  Row(const View& view, int64_t row) : first(view.as<T>() + row * view.stride(0)), stride(view.stride(1)) {}
  T& operator[](int64_t i) const { return first[i * stride]; }
};

template <typename T>
void clamped_swiglu(const View& gate, const View& up, T limit, T alpha, const View& y) {
  parallel_for(y.size(0), row_grain(16 * y.size(1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const Row<const T> gates(gate, row), ups(up, row);
      const Row<T> out(y, row);
      for (int64_t i = 0; i < y.size(1); ++i) {
        const T g = gates[i] > limit ? limit : gates[i];
        const T u = ups[i] > limit ? limit : ups[i] < -limit ? -limit : ups[i];
        out[i] = (u + 1) * (g / (1 + std::exp(-alpha * g)));
      }
    }
  });
}

template <typename T>
void clamped_swiglu_backward(const View& gate, const View& up, T limit, T alpha, const View& dy, const View& dgate,
                             const View& dup) {
  parallel_for(dy.size(0), row_grain(16 * dy.size(1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const Row<const T> gates(gate, row), ups(up, row), d(dy, row);
      const Row<T> dg(dgate, row), du(dup, row);
      for (int64_t i = 0; i < dy.size(1); ++i) {
        const T x = gates[i], z = ups[i], slope = d[i];
        const T g = x > limit ? limit : x;
        const T u = z > limit ? limit : z < -limit ? -limit : z;
        const T s = 1 / (1 + std::exp(-alpha * g));
        dg[i] = x > limit ? T(0) : slope * (u + 1) * s * (1 + alpha * g * (1 - s));
        du[i] = z > limit || z < -limit ? T(0) : slope * g * s;
      }
    }
  });
}

simd::ClampedSwiglu task_of(const View& gate, const View& up, double limit, double alpha, int64_t size) {
  return {.gate = gate.as<const float>(),
          .gate_row = gate.stride(0),
          .gate_step = gate.stride(1),
          .up = up.as<const float>(),
          .up_row = up.stride(0),
          .up_step = up.stride(1),
          .limit = static_cast<float>(limit),
          .alpha = static_cast<float>(alpha),
          .size = size};
}

}  // namespace
}  // namespace cpu

void CpuActivation::clamped_swiglu(const View& gate, const View& up, double limit, double alpha, const View& y) {
  if (y.dtype == DType::float32) {
    cpu::simd::ClampedSwiglu task = cpu::task_of(gate, up, limit, alpha, y.size(1));
    task.y = y.as<float>();
    return cpu::simd::clamped_swiglu(task, y.size(0));
  }
  cpu::with_floating("activation.clamped_swiglu", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    cpu::clamped_swiglu(gate, up, static_cast<T>(limit), static_cast<T>(alpha), y);
  });
}

void CpuActivation::clamped_swiglu_backward(const View& gate, const View& up, double limit, double alpha,
                                            const View& dy, const View& dgate, const View& dup) {
  if (dy.dtype == DType::float32) {
    cpu::simd::ClampedSwiglu task = cpu::task_of(gate, up, limit, alpha, dy.size(1));
    task.dy = dy.as<const float>();
    task.dgate = dgate.as<float>();
    task.dgate_row = dgate.stride(0);
    task.dgate_step = dgate.stride(1);
    task.dup = dup.as<float>();
    task.dup_row = dup.stride(0);
    task.dup_step = dup.stride(1);
    return cpu::simd::clamped_swiglu_backward(task, dy.size(0));
  }
  cpu::with_floating("activation.clamped_swiglu_backward", dy.dtype, [&](auto tag) {
    using T = decltype(tag);
    cpu::clamped_swiglu_backward(gate, up, static_cast<T>(limit), static_cast<T>(alpha), dy, dgate, dup);
  });
}

}  // namespace mica
