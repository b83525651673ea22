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

/// Heads on their way from the projections to attention, and where they go. All [rows, heads, size] of one dtype and
/// size, last stride 1, other strides free; as many heads of key_out as of key, and of value_out as of value.
struct HeadRows {
  View query, key, value;  ///< value may be empty: it stays where it is
  View query_out, key_out, value_out;
  View index;  ///< int64 [rows], contiguous: the rows of key_out and value_out; empty: row i goes to row i
  View query_weight, key_weight;  ///< [size], of an RMS norm over each head before it is turned; empty: none
  double weight_offset = 0, eps = 0;
  View cos, sin;  ///< as in rotate(), of the elements from the first on
  RotaryLayout layout = RotaryLayout::half_split;
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

  /// Whether place_heads() is there: where it saves anything over norms, rotate() and copies one after the other.
  virtual bool places_heads() const { return false; }
  /// Queries and keys normed and turned, values as they are, each read and written once: what NormKernels::rms_norm,
  /// rotate() and ShapeKernels::copy or put_rows give, with their roundings.
  virtual void place_heads(const HeadRows& heads) { unsupported("rotary.place_heads", heads.query.dtype, Device{}); }
};

}  // namespace mica
