// Arithmetic element by element over runs of merged dimensions. Integers wrap.

#include "mica/kernels/elementwise.h"

#include <cmath>
#include <type_traits>

#include "mica/base/error.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/walk.h"

namespace mica {
namespace cpu {
namespace {

// y[i] = f(a[i], b[i]); the common strides have loops of their own, which the compiler turns into vectors.
template <typename T, typename Y, typename F>
void run_binary(const Run<3>& run, const F& f) {
  const T* a = reinterpret_cast<const T*>(run.data[0]);
  const T* b = reinterpret_cast<const T*>(run.data[1]);
  Y* y = reinterpret_cast<Y*>(run.data[2]);
  const auto [sa, sb, sy] = run.strides;
  const int64_t n = run.size;
  if (sa == 1 && sb == 1 && sy == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (sa == 1 && sb == 0 && sy == 1) {
    const T second = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], second);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * sy] = f(a[i * sa], b[i * sb]);
  }
}

// Signed overflow wraps, as it does on every device.
template <typename T, typename F>
T wrapping(T a, T b, const F& f) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(f(static_cast<Unsigned>(a), static_cast<Unsigned>(b)));
  } else {
    return f(a, b);
  }
}

template <typename T>
T divide(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) throw Error("integer division by zero", "elementwise.binary", "divide by something else");
    if (b == -1) return wrapping(T(0), a, [](auto x, auto y) { return x - y; });  // the lowest integer has no opposite
  }
  return a / b;
}

// NaN wins, whichever side it is on.
template <typename T>
T maximum(T a, T b) {
  return a > b || a != a ? a : b;
}
template <typename T>
T minimum(T a, T b) {
  return a < b || a != a ? a : b;
}

template <typename T>
void binary(BinaryOp op, const View& a, const View& b, const View& y) {
  walk<3>({a, b, y}, [&](const Run<3>& run) {
    switch (op) {
      case BinaryOp::add:
        return run_binary<T, T>(run, [](T p, T q) { return wrapping(p, q, [](auto m, auto n) { return m + n; }); });
      case BinaryOp::subtract:
        return run_binary<T, T>(run, [](T p, T q) { return wrapping(p, q, [](auto m, auto n) { return m - n; }); });
      case BinaryOp::multiply:
        return run_binary<T, T>(run, [](T p, T q) { return wrapping(p, q, [](auto m, auto n) { return m * n; }); });
      case BinaryOp::divide:
        return run_binary<T, T>(run, [](T p, T q) { return divide(p, q); });
      case BinaryOp::maximum:
        return run_binary<T, T>(run, [](T p, T q) { return maximum(p, q); });
      case BinaryOp::minimum:
        return run_binary<T, T>(run, [](T p, T q) { return minimum(p, q); });
    }
  });
}

template <typename T>
void compare(CompareOp op, const View& a, const View& b, const View& y) {
  walk<3>({a, b, y}, [&](const Run<3>& run) {
    switch (op) {
      case CompareOp::equal:
        return run_binary<T, bool>(run, [](T p, T q) { return p == q; });
      case CompareOp::not_equal:
        return run_binary<T, bool>(run, [](T p, T q) { return p != q; });
      case CompareOp::less:
        return run_binary<T, bool>(run, [](T p, T q) { return p < q; });
      case CompareOp::less_equal:
        return run_binary<T, bool>(run, [](T p, T q) { return p <= q; });
      case CompareOp::greater:
        return run_binary<T, bool>(run, [](T p, T q) { return p > q; });
      case CompareOp::greater_equal:
        return run_binary<T, bool>(run, [](T p, T q) { return p >= q; });
    }
  });
}

template <typename T, typename F>
void run_unary(const Run<2>& run, const F& f) {
  const T* x = reinterpret_cast<const T*>(run.data[0]);
  T* y = reinterpret_cast<T*>(run.data[1]);
  const auto [sx, sy] = run.strides;
  if (sx == 1 && sy == 1) {
    for (int64_t i = 0; i < run.size; ++i) y[i] = f(x[i]);
  } else {
    for (int64_t i = 0; i < run.size; ++i) y[i * sy] = f(x[i * sx]);
  }
}

template <typename T>
void unary(UnaryOp op, const View& x, const View& y) {
  walk<2>({x, y}, [&](const Run<2>& run) {
    switch (op) {
      case UnaryOp::negate:
        return run_unary<T>(run, [](T v) { return -v; });
      case UnaryOp::exp:
        return run_unary<T>(run, [](T v) { return std::exp(v); });
      case UnaryOp::log:
        return run_unary<T>(run, [](T v) { return std::log(v); });
      case UnaryOp::sqrt:
        return run_unary<T>(run, [](T v) { return std::sqrt(v); });
      case UnaryOp::rsqrt:
        return run_unary<T>(run, [](T v) { return T(1) / std::sqrt(v); });
      case UnaryOp::abs:
        return run_unary<T>(run, [](T v) { return std::abs(v); });
      case UnaryOp::square:
        return run_unary<T>(run, [](T v) { return v * v; });
      case UnaryOp::reciprocal:
        return run_unary<T>(run, [](T v) { return T(1) / v; });
      case UnaryOp::tanh:
        return run_unary<T>(run, [](T v) { return std::tanh(v); });
    }
  });
}

template <typename T>
void where(const View& condition, const View& a, const View& b, const View& y) {
  walk<4>({condition, a, b, y}, [&](const Run<4>& run) {
    const auto [sc, sa, sb, sy] = run.strides;
    const uint8_t* chosen = reinterpret_cast<const uint8_t*>(run.data[0]);
    const T* first = reinterpret_cast<const T*>(run.data[1]);
    const T* second = reinterpret_cast<const T*>(run.data[2]);
    T* out = reinterpret_cast<T*>(run.data[3]);
    for (int64_t i = 0; i < run.size; ++i) out[i * sy] = chosen[i * sc] != 0 ? first[i * sa] : second[i * sb];
  });
}

}  // namespace
}  // namespace cpu

using namespace cpu;

void CpuElementwise::binary(BinaryOp op, const View& a, const View& b, const View& y) {
  with_number("elementwise.binary", y.dtype, [&](auto tag) { cpu::binary<decltype(tag)>(op, a, b, y); });
}

void CpuElementwise::compare(CompareOp op, const View& a, const View& b, const View& y) {
  if (a.dtype == DType::uint8 || a.dtype == DType::boolean) return cpu::compare<uint8_t>(op, a, b, y);
  with_number("elementwise.compare", a.dtype, [&](auto tag) { cpu::compare<decltype(tag)>(op, a, b, y); });
}

void CpuElementwise::unary(UnaryOp op, const View& x, const View& y) {
  with_floating("elementwise.unary", y.dtype, [&](auto tag) { cpu::unary<decltype(tag)>(op, x, y); });
}

void CpuElementwise::affine(const View& x, double scale, double shift, const View& y) {
  with_floating("elementwise.affine", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto factor = static_cast<T>(scale);
    const auto offset = static_cast<T>(shift);
    walk<2>({x, y}, [&](const Run<2>& run) { run_unary<T>(run, [&](T v) { return factor * v + offset; }); });
  });
}

// Moves elements without looking at them: any dtype of a size.
void CpuElementwise::where(const View& condition, const View& a, const View& b, const View& y) {
  switch (item_size(y.dtype)) {
    case 8:
      return cpu::where<uint64_t>(condition, a, b, y);
    case 4:
      return cpu::where<uint32_t>(condition, a, b, y);
    case 2:
      return cpu::where<uint16_t>(condition, a, b, y);
    default:
      return cpu::where<uint8_t>(condition, a, b, y);
  }
}

}  // namespace mica
