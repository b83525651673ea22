#pragma once
// Internal: the keys and values of those layers of a cache that see equally far back.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/base/recycled.h"
#include "mica/models/modules/cache_rows.h"
#include "mica/models/modules/cache_step.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// A text's keys lie side by side in a slot. Where layers have a window, a slot holds little more than that: what no
/// query will see again is dropped when the slot is full, always a whole number of the kernels' blocks of keys, so that
/// results have the bits that they have with all keys. A call with more new tokens than a slot has room for gets its
/// keys side by side in memory of its own, and the last of them are kept.
///
/// In 8 bits (CacheQuantization) a layer's keys are widened when they are read, into memory that the layers share.
class CacheGroup {
 public:
  CacheGroup(int64_t window, size_t layers, int64_t slots, int64_t capacity, Device device);

  /// Before anything is appended. It must outlive the group.
  void quantize(const CacheQuantization* quantization) { quantization_ = quantization; }
  /// A call in which row i, with `lengths[i]` tokens so far in slot `slots[i]`, gets counts[i] more.
  void begin(std::span<const int64_t> slots, std::span<const int64_t> lengths, std::span<const int64_t> counts);
  /// A call that is recorded. The step must outlive it.
  void begin_step(const CacheStep* step) { step_ = step; }
  /// See KeyValueCache.
  const SequenceOffsets& offsets() const { return step_ != nullptr ? step_->offsets : offsets_; }
  std::pair<Tensor, Tensor> append(size_t layer, const Tensor& key, const Tensor& value);
  std::optional<CacheTargets> targets(size_t layer, const Tensor& key, const Tensor& value);
  void end();

  void set_slots(int64_t slots) { resize(slots, capacity_); }
  /// Slot `to` gets what slot `from` holds of a text of so many tokens.
  void copy_slot(int64_t from, int64_t to, int64_t length);
  /// Whether all that a text of `length` tokens needs is there still.
  bool may_truncate(int64_t slot, int64_t length) const;
  void truncate(int64_t slot, int64_t length);

  int64_t capacity() const { return capacity_; }
  /// Where the next token of a text of `length` goes.
  CachePlace place(int64_t slot, int64_t length) const;
  /// Tokens that such a text may get before its slot is full; 0 where there is more to them than writing their rows.
  int64_t steps(int64_t slot, int64_t length) const;
  /// Changes when buffers move.
  uint64_t moves() const { return moves_; }
  int64_t bytes() const;

 private:
  using Layer = std::array<CacheRows, 2>;  // keys, values
  struct Row {
    int64_t slot = 0, stored = 0, count = 0, drop = 0;
  };
  CacheSlots slots(int64_t count, int64_t capacity) const;
  void resize(int64_t slots, int64_t capacity);
  void check_memory(const CacheSlots& slots, const Tensor& key, const Tensor& value) const;
  void make(Layer* layer, const Tensor& key, const Tensor& value) const;
  void drop(int64_t slot, int64_t stored, int64_t tokens);
  int64_t droppable(int64_t stored) const;
  int64_t rows_held(int64_t slot, int64_t stored) const;
  Tensor add_rows(const Tensor& buffer, const Tensor& added) const;
  Tensor add_quantized(CacheRows& kept, const Tensor& added, Tensor& wide) const;

  int64_t window_, num_slots_, capacity_;
  std::vector<Layer> layers_;
  std::vector<int64_t> dropped_;  // tokens of the text before a slot's first
  Device device_;
  RecycledVector<Row> rows_;  // of this call
  bool spills_ = false;       // this call's keys lie in memory of their own
  SequenceOffsets offsets_;
  const CacheStep* step_ = nullptr;  // of a call that is recorded
  uint64_t moves_ = 0;

  // In 8 bits:
  const CacheQuantization* quantization_ = nullptr;
  std::vector<int64_t> recent_from_;  // of each slot's text, the first token that the ring holds
  std::array<Tensor, 2> wide_;        // one layer's keys and values, widened
};

}  // namespace mica
