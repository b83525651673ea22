#pragma once
// What a decoder remembers between calls: keys and values of the tokens it has seen.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Keys and values of every layer for a batch of growing sequences. A sequence lies in a slot of fixed capacity; the
/// capacity of all doubles when one outgrows it.
class KeyValueCache {
 public:
  /// `capacity`: tokens a sequence may grow to without another allocation. A cache that memory cannot hold is an Error
  /// when its first rows are appended.
  KeyValueCache(int64_t num_layers, int64_t batch, int64_t capacity);

  int64_t batch() const { return static_cast<int64_t>(slots_.size()); }
  int64_t length(int64_t row) const { return lengths_[static_cast<size_t>(row)]; }
  int64_t capacity() const { return capacity_; }
  /// Bytes of all buffers.
  int64_t bytes() const;

  /// A call with counts[i] new tokens of row i begins: makes room.
  void begin(std::span<const int64_t> counts);
  /// Where the keys of each row lie in a layer's buffers, the new ones included.
  const SequenceOffsets& offsets() const { return offsets_; }
  /// Position of the first new token of a row.
  int64_t position(int64_t row) const { return length(row); }
  /// Stores the new rows' keys and values [new rows, heads, size], in the order of rows; gives the layer's buffers
  /// [slots * capacity, heads, size].
  std::pair<Tensor, Tensor> append(int64_t layer, const Tensor& key, const Tensor& value);
  /// The call is over: the new tokens count.
  void end();

  /// Row i continues what row rows[i] was.
  void reorder(std::span<const int64_t> rows);
  /// Forgets all but the first tokens of a row.
  void truncate(int64_t row, int64_t length);

 private:
  struct Layer {
    Tensor key, value;
  };
  void resize(int64_t slots, int64_t capacity);
  void check_memory(int64_t slots, int64_t capacity, int64_t token_bytes) const;

  std::vector<Layer> layers_;
  std::vector<int64_t> slots_, lengths_, counts_;  // by row
  int64_t num_slots_, capacity_;
  SequenceOffsets offsets_;
};

}  // namespace mica
