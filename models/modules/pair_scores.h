#pragma once
// Scores of pairs of tokens by their distance, which go into attention as a bias.

#include <cstdint>
#include <vector>

#include "mica/models/inputs.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// The rows of a batch as [count, longest] places; the last ones of a shorter sequence are empty.
class Places {
 public:
  explicit Places(const Rows& rows);

  int64_t count() const { return count_; }
  int64_t longest() const { return longest_; }
  /// x [rows, ...] to [count * longest, ...]; what stands in an empty place means nothing. Differentiable.
  Tensor lay_out(const Tensor& x) const;
  /// Values of rows to values of places, `empty` in empty ones.
  template <typename T>
  std::vector<T> lay_out(const std::vector<T>& values, T empty) const {
    std::vector<T> result(rows_.size(), empty);
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i] >= 0) result[i] = values[static_cast<size_t>(rows_[i])];
    }
    return result;
  }

 private:
  int64_t count_, longest_;
  std::vector<int64_t> rows_;  // of each place, -1 for an empty one
  Tensor index_;               // undefined where every place is its row
};

/// content [rows, heads, size] times what stands for distances, positions [heads, 2 * longest, size]: [heads, count,
/// longest, longest], where the pair (i, k) gets content i times positions k - i + longest - 1. Differentiable.
Tensor distance_scores(const Tensor& content, const Tensor& positions, const Places& places);

/// Row j of the positions for content that is the query's stands for this distance from key to query; where the content
/// is the key's, for its negative. j in [0, 2 * longest).
inline int64_t distance_of(int64_t j, int64_t longest) {
  return longest - 1 - j;
}

}  // namespace mica
