#pragma once
// Positions of tokens: the indices of absolute embeddings and the buckets of relative ones.

#include <span>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Indices [count] on the host, int64.
Tensor index_tensor(std::span<const int64_t> values);

/// 0, 1, 2, ... inside each sequence; int64 [rows] on the host.
Tensor positions_from_zero(const SequenceOffsets& offsets);

/// padding_idx + 1, + 2, ... over the tokens of each sequence whose id is not padding_idx; those get padding_idx.
/// Without ids, every token counts.
Tensor positions_from_padding(const SequenceOffsets& offsets, const Tensor& input_ids, int64_t padding_idx);

/// The bias [1, heads, queries, keys] of bucketed relative positions (T5's rule), for queries that stand at
/// first_query, first_query + 1, ...: distances below half of the buckets have one each, larger ones share
/// logarithmically up to max_distance. Bidirectional: one half of the buckets is for keys to the right, the other for
/// those to the left; else every key to the right shares the first. table [buckets, heads]; differentiable.
Tensor relative_position_bias(const Tensor& table, int64_t first_query, int64_t queries, int64_t keys,
                              int64_t max_distance, bool bidirectional);

/// From scores by distance to scores by pair: y[n, i, k] = x[n, i, k - i + queries - 1] for x [n, queries, queries +
/// keys] (the last column is unused), y [n, queries, keys]. Differentiable.
Tensor shift_distances(const Tensor& x);

/// How sinusoidal positions space their frequencies.
enum class SinusoidKind : uint8_t {
  halves,   ///< 10000^(-2i / size), sines in the first half of the vector, cosines in the second
  fairseq,  ///< 10000^(-i / (size / 2 - 1)), likewise
};

/// Sines and cosines [rows, size] of positions int64 [rows]; zeros for zero_position (-1: none).
Tensor sinusoidal_positions(std::span<const int64_t> positions, int64_t size, SinusoidKind kind, int64_t zero_position,
                            Device device);

/// Slopes of a bias on distances, one a head: 2^(-8/n), 2^(-16/n), ..., for n heads a power of two, and every other one
/// of the next power's behind them for the rest. Press et al., "Train Short, Test Long", 2021.
std::vector<double> alibi_slopes(int64_t num_heads);
/// The slopes of the next power of two heads, from 2^(-steepest/n) on, every other one first, as many as are needed.
std::vector<double> alibi_slopes_of_power(int64_t num_heads, double steepest);

/// The bias [1, 1, length, length] that hides from each query the keys after it, but for the first `prefix` ones.
Tensor prefix_mask(int64_t length, int64_t prefix, DType dtype, Device device);

}  // namespace mica
