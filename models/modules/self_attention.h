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

  /// Of one text, whose last states are `keys` [count, hidden_size]: how its newest tokens mix, and the place behind
  /// them, which sees all of them and is seen by none. x [new tokens + 1, hidden_size] to the same. Throws Error where
  /// there is no such place.
  virtual Tensor mix_next(size_t layer, const Tensor& x, const Tensor& keys) const;
};

}  // namespace mica
