#pragma once
// Rows looked up by index, and their gradients scattered back.

#include "mica/kernels/backend.h"

namespace mica {

class EmbeddingKernels {
 public:
  virtual ~EmbeddingKernels() = default;

  /// y[i, :] = table[ids[i], :]. table [rows, size]; ids int64 [n], each in [0, rows); y [n, size] contiguous, of the
  /// table's dtype or wider.
  virtual void forward(const View& table, const View& ids, const View& y) = 0;

  /// y[i, :] = sum over t of tables[t][ids[t][i], :], added in that order, at most 4 tables; as forward otherwise.
  virtual void forward_sum(const View* tables, const View* ids, int count, const View& y) = 0;

  /// dtable[ids[i], :] += dy[i, :], in the order of i (a device may add long runs of a small table in parts of a fixed
  /// length), skipping ids equal to padding_idx (-1: none). dtable is contiguous and holds what is to be added to
  /// (zeros at first).
  virtual void backward(const View& dy, const View& ids, int64_t padding_idx, const View& dtable) = 0;
};

}  // namespace mica
