#pragma once
// What a decoder remembers between calls: keys and values of the tokens it has seen.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mica/models/modules/cache_group.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Keys and values of every layer for a batch of growing sequences. A sequence lies in a slot of fixed capacity; the
/// capacity of all doubles when one outgrows it. Layers with a window keep that much of each.
class KeyValueCache {
 public:
  /// `capacity`: tokens a sequence may grow to without another allocation. A cache that memory cannot hold is an Error
  /// when its first rows are appended. `windows`: how many keys each layer's queries see; 0: all. It lies where the
  /// keys do, on `device`.
  KeyValueCache(std::span<const int64_t> windows, int64_t batch, int64_t capacity, Device device = {});
  /// Layers that see everything.
  KeyValueCache(int64_t num_layers, int64_t batch, int64_t capacity, Device device = {})
      : KeyValueCache(std::vector<int64_t>(static_cast<size_t>(num_layers), 0), batch, capacity, device) {}

  /// Keeps the oldest keys and values in 8 bits. Throws Error where something is held already, or never will be.
  void quantize(const CacheQuantization& quantization);

  int64_t batch() const { return static_cast<int64_t>(slots_.size()); }
  int64_t length(int64_t row) const { return lengths_[static_cast<size_t>(row)]; }
  /// Most tokens that a row may get in one call, where bits are not to depend on how a text is cut into calls.
  int64_t room(int64_t row) const;
  /// Bytes of all buffers.
  int64_t bytes() const;

  /// A call with counts[i] new tokens of row i begins: makes room.
  void begin(std::span<const int64_t> counts);
  /// Position of the first new token of a row.
  int64_t position(int64_t row) const { return length(row); }
  /// Stores the new rows' keys and values [new rows, heads, size], in the order of rows; gives what the layer's queries
  /// read, [rows, heads, size].
  std::pair<Tensor, Tensor> append(int64_t layer, const Tensor& key, const Tensor& value);
  /// The same, but the caller writes the rows, of the shapes and dtype of these; nothing where append() has more to do:
  /// rows in 8 bits, or more of them than a window's slot has room for.
  std::optional<CacheTargets> targets(int64_t layer, const Tensor& key, const Tensor& value);
  /// Where the keys of each row lie in that, the new ones included.
  const SequenceOffsets& offsets(int64_t layer) const;
  /// The call is over: the new tokens count.
  void end();

  // Steps that are recorded (Backend::record), of one token a row: what moves on from one to the next lies in device
  // memory, a CacheStep for each of groups() kinds of layers.
  size_t groups() const { return groups_.size(); }
  CachePlace place(size_t group, int64_t row) const { return groups_[group].place(slots_[row_at(row)], length(row)); }
  /// Tokens that each slot of the group has room for.
  int64_t capacity(size_t group) const { return groups_[group].capacity(); }
  /// Steps that all rows may take before something else is due: a slot that is full, layers that hold nothing yet.
  int64_t steps() const;
  /// Changes when buffers move, and with them what recorded steps know.
  uint64_t moves() const;
  /// The next call, from begin() to end(), is recorded: its tokens do not count. The steps must outlive it.
  void record(std::span<const CacheStep> steps) { recorded_ = steps; }
  /// A recorded step ran: every row has one token more.
  void advance();

  /// Row i continues what row rows[i] was.
  void reorder(std::span<const int64_t> rows);
  /// Whether a row still has what its first `length` tokens need: windows forget.
  bool may_truncate(int64_t row, int64_t length) const;
  /// Forgets all but the first tokens of a row. Throws Error where it may not.
  void truncate(int64_t row, int64_t length);

 private:
  static size_t row_at(int64_t row) { return static_cast<size_t>(row); }
  struct Place {
    size_t group = 0, layer = 0;
  };

  std::vector<CacheGroup> groups_;                 // one for each window
  std::vector<Place> places_;                      // by layer
  std::vector<int64_t> slots_, lengths_, counts_;  // by row
  int64_t num_slots_;
  std::span<const CacheStep> recorded_;                    // empty: the call is an ordinary one
  std::shared_ptr<const CacheQuantization> quantization_;  // null: none
};

}  // namespace mica
