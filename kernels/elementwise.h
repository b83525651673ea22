#pragma once
// Arithmetic element by element, with broadcasting by strides of 0.

#include "mica/kernels/backend.h"

namespace mica {

enum class BinaryOp : uint8_t { add, subtract, multiply, divide, maximum, minimum };
enum class CompareOp : uint8_t { equal, not_equal, less, less_equal, greater, greater_equal };
enum class UnaryOp : uint8_t { negate, exp, log, sqrt, rsqrt, abs, square, reciprocal, tanh };

class ElementwiseKernels {
 public:
  virtual ~ElementwiseKernels() = default;
  /// y = a op b, all of one shape and dtype (floating, int64 or int32); a and b may be broadcast; y may be a or b.
  virtual void binary(BinaryOp op, const View& a, const View& b, const View& y) = 0;
  /// y (bool) = a op b.
  virtual void compare(CompareOp op, const View& a, const View& b, const View& y) = 0;
  /// y = op(x), floating, same shape; y may be x.
  virtual void unary(UnaryOp op, const View& x, const View& y) = 0;
  /// y = scale * x + shift, floating; y may be x.
  virtual void affine(const View& x, double scale, double shift, const View& y) = 0;
  /// y = condition ? a : b; condition bool; all of one shape, inputs may be broadcast.
  virtual void where(const View& condition, const View& a, const View& b, const View& y) = 0;
};

}  // namespace mica
