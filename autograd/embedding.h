#pragma once
// Rows looked up by index, differentiable.

#include <span>
#include <vector>

#include "mica/tensor/tensor.h"

namespace mica {

/// y[..., size] = table[ids[...], :]. ids int64; those on the host are checked against the table's rows (Error naming
/// the first bad one). The row padding_idx (-1: none) gets no gradient. A table in a narrower dtype gives rows of the
/// device's activation dtype.
Tensor embedding(const Tensor& table, const Tensor& ids, int64_t padding_idx = -1);

struct EmbeddingTerm {
  Tensor table;  ///< [rows, size]
  Tensor ids;    ///< int64, the same shape for every term
  int64_t padding_idx = -1;
};

/// The sum over the terms of embedding(table, ids), at most 4, in one pass over memory.
Tensor embedding_sum(std::span<const EmbeddingTerm> terms);
inline Tensor embedding_sum(const std::vector<EmbeddingTerm>& terms) {
  return embedding_sum(std::span<const EmbeddingTerm>(terms));
}

}  // namespace mica
