// Arithmetic element by element. Bytes: each operand once (a broadcast one from the cache); the floor is the memory's.

#include <cmath>

#include "mica/kernels/cuda/pointwise.h"
#include "mica/kernels/elementwise.h"

namespace mica::cuda {
namespace {

template <typename T>
struct WrappingOf {
  using type = Computed<T>;
};
template <typename T>
requires std::is_integral_v<T>
struct WrappingOf<T> {
  using type = std::make_unsigned_t<T>;
};
/// Integers wrap around when they overflow, which signed ones may not.
template <typename T>
using Wrapping = typename WrappingOf<T>::type;

// The operation is the same for all threads: the branch costs nothing beside the memory.
template <typename T>
struct Binary {
  BinaryOp op;
  Fault* fault;
  __device__ __forceinline__ T operator()(T a, T b) const {
    const Computed<T> x = widen(a), y = widen(b);
    switch (op) {
      case BinaryOp::add:
        return narrow<T>(static_cast<Wrapping<T>>(x) + static_cast<Wrapping<T>>(y));
      case BinaryOp::subtract:
        return narrow<T>(static_cast<Wrapping<T>>(x) - static_cast<Wrapping<T>>(y));
      case BinaryOp::multiply:
        return narrow<T>(static_cast<Wrapping<T>>(x) * static_cast<Wrapping<T>>(y));
      case BinaryOp::divide:
        if constexpr (std::is_integral_v<T>) {
          if (y == 0) {
            report(fault, FaultKind::division_by_zero, 0, 0);
            return T(0);
          }
          // The lowest integer has no opposite.
          return y == -1 ? narrow<T>(Wrapping<T>(0) - static_cast<Wrapping<T>>(x)) : narrow<T>(x / y);
        } else {
          return narrow<T>(x / y);
        }
      case BinaryOp::maximum:
        return x > y || x != x ? a : b;
      default:
        return x < y || x != x ? a : b;
    }
  }
};

template <typename T>
struct Compare {
  CompareOp op;
  __device__ __forceinline__ bool operator()(T a, T b) const {
    const Computed<T> x = widen(a), y = widen(b);
    switch (op) {
      case CompareOp::equal:
        return x == y;
      case CompareOp::not_equal:
        return x != y;
      case CompareOp::less:
        return x < y;
      case CompareOp::less_equal:
        return x <= y;
      case CompareOp::greater:
        return x > y;
      default:
        return x >= y;
    }
  }
};

template <typename T>
struct Unary {
  UnaryOp op;
  __device__ __forceinline__ T operator()(T a) const {
    using C = Computed<T>;
    const C x = widen(a);
    switch (op) {
      case UnaryOp::negate:
        return narrow<T>(-x);
      case UnaryOp::exp:
        return narrow<T>(std::exp(x));
      case UnaryOp::log:
        return narrow<T>(std::log(x));
      case UnaryOp::sqrt:
        return narrow<T>(std::sqrt(x));
      case UnaryOp::rsqrt:
        return narrow<T>(C(1) / std::sqrt(x));
      case UnaryOp::abs:
        return narrow<T>(x < 0 ? -x : x == 0 ? C(0) : x);
      case UnaryOp::square:
        return narrow<T>(x * x);
      case UnaryOp::reciprocal:
        return narrow<T>(C(1) / x);
      default:
        return narrow<T>(std::tanh(x));
    }
  }
};

template <typename T>
struct Affine {
  Computed<T> scale, shift;
  __device__ __forceinline__ T operator()(T x) const { return narrow<T>(scale * widen(x) + shift); }
};

template <typename T>
struct Choose {
  __device__ __forceinline__ T operator()(bool condition, T a, T b) const { return condition ? a : b; }
};

}  // namespace

void CudaElementwise::binary(BinaryOp op, const View& a, const View& b, const View& y) {
  with_number("elementwise.binary", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    pointwise<T, T, T>(device_, "elementwise.binary", Binary<T>{op, device_.fault}, y, a, b);
  });
}

void CudaElementwise::compare(CompareOp op, const View& a, const View& b, const View& y) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    pointwise<bool, T, T>(device_, "elementwise.compare", Compare<T>{op}, y, a, b);
  };
  if (a.dtype == DType::boolean || a.dtype == DType::uint8) return run(uint8_t{});
  with_number("elementwise.compare", a.dtype, device_.device(), run);
}

void CudaElementwise::unary(UnaryOp op, const View& x, const View& y) {
  with_floating("elementwise.unary", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    pointwise<T, T>(device_, "elementwise.unary", Unary<T>{op}, y, x);
  });
}

void CudaElementwise::affine(const View& x, double scale, double shift, const View& y) {
  with_floating("elementwise.affine", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    pointwise<T, T>(device_, "elementwise.affine", Affine<T>{static_cast<C>(scale), static_cast<C>(shift)}, y, x);
  });
}

// Nothing is computed: what counts is the size of an element.
void CudaElementwise::where(const View& condition, const View& a, const View& b, const View& y) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    pointwise<T, bool, T, T>(device_, "elementwise.where", Choose<T>{}, y, condition, a, b);
  };
  switch (item_size(y.dtype)) {
    case 8:
      return run(uint64_t{});
    case 4:
      return run(uint32_t{});
    case 2:
      return run(uint16_t{});
    default:
      return run(uint8_t{});
  }
}

}  // namespace mica::cuda
