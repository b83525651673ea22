#pragma once
// The self-attention of all layers of a stack as one part of it, for kinds that are more than Attention with options.

#include <cstddef>
#include <functional>

#include "mica/models/inputs.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Mixes the rows of x [rows, hidden_size] as a layer does: the heads' values side by side, [rows, heads * head_size],
/// before their projection.
using LayerMixer = std::function<Tensor(size_t layer, const Tensor& x)>;

class SelfAttention {
 public:
  virtual ~SelfAttention() = default;
  SelfAttention() = default;
  SelfAttention(const SelfAttention&) = delete;
  SelfAttention& operator=(const SelfAttention&) = delete;

  /// How the layers mix these rows. What they share (masks, tables of positions) is made here, once; valid while this
  /// object and the rows live.
  virtual LayerMixer start(const Rows& rows) const = 0;
};

}  // namespace mica
