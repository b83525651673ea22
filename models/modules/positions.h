#pragma once
// Positions of tokens: the indices of absolute embeddings and the buckets of relative ones.

#include "mica/autograd/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// 0, 1, 2, ... inside each sequence; int64 [rows] on the host.
Tensor positions_from_zero(const SequenceOffsets& offsets);

/// padding_idx + 1, + 2, ... over the tokens of each sequence whose id is not padding_idx; those get padding_idx.
/// Without ids, every token counts.
Tensor positions_from_padding(const SequenceOffsets& offsets, const Tensor& input_ids, int64_t padding_idx);

/// The bias [1, heads, length, length] of bucketed relative positions (T5's rule, both directions): half of the buckets
/// for keys to the right; distances below a quarter of all have one each, larger ones share logarithmically up to
/// max_distance. table [buckets, heads]; differentiable.
Tensor relative_position_bias(const Tensor& table, int64_t length, int64_t max_distance);

/// The bias [1, 1, length, length] that hides from each query the keys after it, but for the first `prefix` ones.
Tensor prefix_mask(int64_t length, int64_t prefix, DType dtype, Device device);

}  // namespace mica
