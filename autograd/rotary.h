#pragma once
// Rotary position embedding, differentiable.

#include "mica/kernels/rotary.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Turns the elements [offset, offset + 2 half) of each head by the angles of its row, and copies the others:
///   (y1, y2) = (cos x1 - sin x2, sin x1 + cos x2) for each pair of the layout.
/// x: [rows, heads, head_size], read where it lies if the last dimension is dense. cos, sin: [rows, half] of x's dtype,
/// constants (Error when their gradient is tracked); a factor in both of them scales what is turned. y is contiguous.
/// Throws Error when the shapes do not fit.
Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin, RotaryLayout layout, int64_t offset = 0);

/// RMS norms of queries and keys over each head, before they are turned: weights [size], undefined: none.
struct HeadNorms {
  Tensor query, key;
  double weight_offset = 0, eps = 0;
};
/// Where keys and values go: [any rows, heads, size]; to the rows that `rows` (int64) names, or one after the other.
struct HeadPlaces {
  Tensor keys, values;  ///< values undefined: they stay where they are
  Tensor rows;
};
/// Whether place_heads() is there for heads of this dtype and size on their device.
bool places_heads(const Tensor& query, const HeadNorms& norms);
/// rotary(norm(query)) into `turned` (of its shape), the same of keys and the values as they are into their places, by
/// one kernel; with the bits of the ops one by one. query, key, value: [rows, heads, size]. Inference only: throws
/// Error where a gradient would be lost, and for shapes that do not fit.
void place_heads(const Tensor& query, const Tensor& key, const Tensor& value, const HeadNorms& norms, const Tensor& cos,
                 const Tensor& sin, RotaryLayout layout, const Tensor& turned, const HeadPlaces& places);

}  // namespace mica
