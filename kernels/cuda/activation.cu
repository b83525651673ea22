// Activations, gated products and their gradients, element by element. Bytes: each operand once; the floor is the
// memory's (a tanh or an erfc costs some 20 operations, still below it at 16 bytes a lane).

#include "mica/kernels/activation.h"
#include "mica/kernels/cuda/device/activation.h"
#include "mica/kernels/cuda/pointwise.h"

namespace mica::cuda {
namespace {

template <typename T>
struct Activate {
  Activation activation;
  __device__ __forceinline__ T operator()(T x) const { return narrow<T>(activation_value(activation, widen(x))); }
};

template <typename T>
struct ActivateBackward {
  Activation activation;
  __device__ __forceinline__ T operator()(T x, T dy) const {
    return narrow<T>(widen(dy) * activation_slope(activation, widen(x)));
  }
};

template <typename T>
struct Gated {
  Activation activation;
  __device__ __forceinline__ T operator()(T gate, T up) const {
    return narrow<T>(activation_value(activation, widen(gate)) * widen(up));
  }
};

// Both gradients at once: what is written may be what was read.
template <typename T>
struct GatedBackward {
  Activation activation;
  __device__ __forceinline__ void operator()(T gate, T up, T dy, T& dgate, T& dup) const {
    const auto g = widen(gate), u = widen(up), d = widen(dy);
    dgate = narrow<T>(d * u * activation_slope(activation, g));
    dup = narrow<T>(d * activation_value(activation, g));
  }
};

template <typename T>
struct ClampedSwiglu {
  Computed<T> limit, alpha;
  __device__ __forceinline__ T operator()(T gate, T up) const {
    using C = Computed<T>;
    const C x = widen(gate), z = widen(up);
    const C g = x > limit ? limit : x, u = z > limit ? limit : z < -limit ? -limit : z;
    return narrow<T>((u + 1) * (g * sigmoid(alpha * g)));
  }
};

template <typename T>
struct ClampedSwigluBackward {
  Computed<T> limit, alpha;
  __device__ __forceinline__ void operator()(T gate, T up, T dy, T& dgate, T& dup) const {
    using C = Computed<T>;
    const C x = widen(gate), z = widen(up), d = widen(dy);
    const C g = x > limit ? limit : x, u = z > limit ? limit : z < -limit ? -limit : z;
    const C s = sigmoid(alpha * g);
    dgate = narrow<T>(x > limit ? C(0) : d * (u + 1) * s * (1 + alpha * g * (1 - s)));
    dup = narrow<T>(z > limit || z < -limit ? C(0) : d * g * s);
  }
};

template <typename F, typename T>
__global__ void two_gradients_kernel(F f, Layout<5> layout, const T* gate, const T* up, const T* dy, T* dgate, T* dup) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < layout.count; i += step) {
    int64_t at[5];
    layout.offsets(i, at);
    T to_gate, to_up;
    f(gate[at[0]], up[at[1]], dy[at[2]], to_gate, to_up);
    dgate[at[3]] = to_gate;
    dup[at[4]] = to_up;
  }
}

template <typename T, typename F>
void two_gradients(CudaDevice& on, const char* name, const F& f, const View& gate, const View& up, const View& dy,
                   const View& dgate, const View& dup) {
  const auto layout = layout_of(std::array<View, 5>{gate, up, dy, dgate, dup});
  if (layout.count == 0) return;
  launch(name, on.stream, over(layout.count), two_gradients_kernel<F, T>, f, layout, gate.as<const T>(),
         up.as<const T>(), dy.as<const T>(), dgate.as<T>(), dup.as<T>());
}

template <typename T>
struct Softcap {
  Computed<T> cap;
  __device__ __forceinline__ T operator()(T x) const { return narrow<T>(cap * std::tanh(widen(x) / cap)); }
};

template <typename T>
struct SoftcapBackward {
  Computed<T> cap;
  __device__ __forceinline__ T operator()(T y, T dy) const {
    const Computed<T> t = widen(y) / cap;
    return narrow<T>(widen(dy) * (1 - t * t));
  }
};

}  // namespace

void CudaActivation::forward(Activation activation, const View& x, const View& y) {
  with_floating("activation.forward", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    pointwise<T, T>(device_, "activation.forward", Activate<T>{activation}, y, x);
  });
}

void CudaActivation::backward(Activation activation, const View& x, const View& dy, const View& dx) {
  with_floating("activation.backward", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    pointwise<T, T, T>(device_, "activation.backward", ActivateBackward<T>{activation}, dx, x, dy);
  });
}

void CudaActivation::gated(Activation activation, const View& gate, const View& up, const View& y) {
  with_floating("activation.gated", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    pointwise<T, T, T>(device_, "activation.gated", Gated<T>{activation}, y, gate, up);
  });
}

void CudaActivation::gated_backward(Activation activation, const View& gate, const View& up, const View& dy,
                                    const View& dgate, const View& dup) {
  with_floating("activation.gated_backward", dy.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    two_gradients<T>(device_, "activation.gated_backward", GatedBackward<T>{activation}, gate, up, dy, dgate, dup);
  });
}

void CudaActivation::clamped_swiglu(const View& gate, const View& up, double limit, double alpha, const View& y) {
  with_floating("activation.clamped_swiglu", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    pointwise<T, T, T>(device_, "activation.clamped_swiglu",
                       ClampedSwiglu<T>{static_cast<C>(limit), static_cast<C>(alpha)}, y, gate, up);
  });
}

void CudaActivation::clamped_swiglu_backward(const View& gate, const View& up, double limit, double alpha,
                                             const View& dy, const View& dgate, const View& dup) {
  with_floating("activation.clamped_swiglu_backward", dy.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    two_gradients<T>(device_, "activation.clamped_swiglu_backward",
                     ClampedSwigluBackward<T>{static_cast<C>(limit), static_cast<C>(alpha)}, gate, up, dy, dgate, dup);
  });
}

void CudaActivation::softcap(const View& x, double cap, const View& y) {
  with_floating("activation.softcap", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    pointwise<T, T>(device_, "activation.softcap", Softcap<T>{static_cast<Computed<T>>(cap)}, y, x);
  });
}

void CudaActivation::softcap_backward(const View& y, const View& dy, double cap, const View& dx) {
  with_floating("activation.softcap_backward", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    pointwise<T, T, T>(device_, "activation.softcap_backward", SoftcapBackward<T>{static_cast<Computed<T>>(cap)}, dx, y,
                       dy);
  });
}

}  // namespace mica::cuda
