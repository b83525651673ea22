#pragma once
// DecodingState: what a network remembers of a batch of growing texts between two calls of Network::decode.

#include <optional>
#include <vector>

#include "mica/models/architectures/stack.h"
#include "mica/models/modules/cache.h"

namespace mica {

class DecodingState {
 public:
  virtual ~DecodingState() = default;
  explicit DecodingState(KeyValueCache cache) : cache_(std::move(cache)) {}
  DecodingState(KeyValueCache cache, CrossStates cross);

  KeyValueCache& cache() { return cache_; }
  const KeyValueCache& cache() const { return cache_; }
  /// Of an encoder-decoder: keys and values of the encoder's states, computed once. Null for a decoder.
  const CrossStates* cross() const { return cross_ ? &*cross_ : nullptr; }

  /// For steps that read positions from a device's memory: see Network::prepare_steps. Null where none are made.
  const StepTables* step_tables() const { return tables_ ? &*tables_ : nullptr; }
  void set_step_tables(StepTables tables) { tables_ = std::move(tables); }

  /// Row i continues what row rows[i] was.
  virtual void reorder(std::span<const int64_t> rows);
  virtual bool may_truncate(int64_t row, int64_t length) const { return cache_.may_truncate(row, length); }
  virtual void truncate(int64_t row, int64_t length) { cache_.truncate(row, length); }

 private:
  KeyValueCache cache_;
  std::optional<CrossStates> cross_;
  std::optional<StepTables> tables_;
  std::vector<int64_t> starts_, lengths_;  // of each row's encoder states
};

}  // namespace mica
