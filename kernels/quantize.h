#pragma once
// Rows in 8 bits: groups of neighbours that share a scale.

#include "mica/kernels/backend.h"

namespace mica {

/// A vector's elements fall into groups of `group`, the last of which may be shorter. With s a group's scale and q its
/// elements in 8 bits, an element reads as s * q, so that
///   |x - s * q| <= max((1/2 + 2^-14) * s, 2^-119),  s = max |x| / 127:
/// half a step, and the roundings of s (2^-24) and of x / s (2^-24 of at most 127). Groups below 2^-119 are zeros,
/// since s would have lost bits; a group with an element that is not finite has s = NaN, and reads as that.
class QuantizeKernels {
 public:
  virtual ~QuantizeKernels() = default;
  /// x [..., size] floating, q [..., size] int8, scales [..., ceil(size / group)] float32; all contiguous.
  /// s = max |x| / 127, q = x / s rounded to nearest even.
  virtual void quantize(const View& x, int64_t group, const View& q, const View& scales) = 0;
  /// y = s * q in float32, rounded to y's dtype; shapes as above.
  virtual void dequantize(const View& q, const View& scales, int64_t group, const View& y) = 0;
};

}  // namespace mica
