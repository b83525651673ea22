#pragma once
// Rotary position embedding (Su et al. 2021, "RoFormer"): pairs of a head's elements turned by an angle that grows with
// the position.

#include "mica/kernels/backend.h"

namespace mica {

/// Which elements of the part that is turned form a pair.
enum class RotaryLayout : uint8_t {
  half_split,   ///< (i, i + half)
  interleaved,  ///< (2 i, 2 i + 1)
};

class RotaryKernels {
 public:
  virtual ~RotaryKernels() = default;

  /// Turns the elements [offset, offset + 2 half) of each head and copies the others:
  ///   (y1, y2) = (cos x1 - sin x2, sin x1 + cos x2);   inverse: with -sin, which is also the gradient's way back.
  /// x, y: [rows, heads, head_size], last stride 1, other strides free; y may be x. cos, sin: [rows, half], one pair of
  /// numbers a row and pair, last stride 1, any row stride, dtype of x. They need not lie on the circle: a factor of
  /// both scales the turned part.
  virtual void rotate(const View& x, const View& cos, const View& sin, RotaryLayout layout, int64_t offset,
                      bool inverse, const View& y) = 0;
};

}  // namespace mica
