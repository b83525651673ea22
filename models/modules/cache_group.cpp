#include "mica/models/modules/cache_group.h"

#include <algorithm>
#include <string>

#include "mica/base/error.h"
#include "mica/base/pages.h"

namespace mica {
namespace {

// Attention takes keys in blocks and panels from the first on, of 512, and of 12, 24 or 48: all divide this.
constexpr int64_t kUnit = 1536;
// Tokens beyond the window that stay, for texts that are cut again: drafts that were not taken.
constexpr int64_t kMargin = 64;

int64_t kept_tokens(int64_t window) {
  return window + kMargin;
}

// A slot that drops a unit now and then.
int64_t window_capacity(int64_t window) {
  return kept_tokens(window) + 2 * kUnit;
}

int64_t token_bytes(const Tensor& rows) {
  return rows.size(1) * rows.size(2) * item_size(rows.dtype());
}

Tensor rows_of(const Tensor& x, int64_t first, int64_t count) {
  return x.slice(0, first, first + count);
}

// A buffer with room for more slots or longer ones; what each slot holds stays.
Tensor grown(const Tensor& old, int64_t old_slots, int64_t old_capacity, int64_t slots, int64_t capacity) {
  const Tensor result = Tensor::empty({slots * capacity, old.size(1), old.size(2)}, old.dtype(), old.device());
  const int64_t kept = std::min(old_capacity, capacity);
  for (int64_t slot = 0; slot < std::min(old_slots, slots); ++slot) {
    rows_of(result, slot * capacity, kept).copy_(rows_of(old, slot * old_capacity, kept));
  }
  return result;
}

}  // namespace

CacheGroup::CacheGroup(int64_t window, size_t layers, int64_t slots, int64_t capacity, Device device)
    : window_(window),
      num_slots_(slots),
      capacity_(window > 0 ? std::min(capacity, window_capacity(window)) : capacity),
      layers_(layers),
      dropped_(static_cast<size_t>(slots), 0),
      device_(device) {}

int64_t CacheGroup::bytes() const {
  int64_t total = 0;
  for (const Layer& layer : layers_) {
    for (const Tensor* each : {&layer.key, &layer.value}) {
      if (each->defined()) total += each->numel() * item_size(each->dtype());
    }
  }
  return total;
}

// The system promises more pages than it has, and ends the program that uses them: a cache that cannot be filled is
// refused before it is begun. (Another device's memory refuses by itself.) Where each layer's sizes are told by one of
// them.
void CacheGroup::check_memory(int64_t slots, int64_t capacity, int64_t token_bytes) const {
  if (!device_.is_cpu()) return;
  const auto tokens = static_cast<double>(slots) * static_cast<double>(capacity);
  const double mebibytes = tokens * static_cast<double>(token_bytes) * static_cast<double>(layers_.size()) / (1 << 20);
  const int64_t have = physical_memory() >> 20;
  if (mebibytes <= static_cast<double>(have)) return;
  throw Error("keys and values of " + std::to_string(slots) + " texts of " + std::to_string(capacity) +
                  " tokens take " + std::to_string(static_cast<int64_t>(std::min(mebibytes, 9e18))) + " MiB",
              "cache", "this machine has " + std::to_string(have) + "; use fewer new tokens or a smaller batch");
}

void CacheGroup::resize(int64_t slots, int64_t capacity) {
  for (const Layer& layer : layers_) {
    if (layer.key.defined()) {
      check_memory(slots, capacity, token_bytes(layer.key) + token_bytes(layer.value));
      break;
    }
  }
  for (Layer& layer : layers_) {
    for (Tensor* each : {&layer.key, &layer.value}) {
      if (each->defined()) *each = grown(*each, num_slots_, capacity_, slots, capacity);
    }
  }
  dropped_.resize(static_cast<size_t>(slots), 0);
  num_slots_ = slots;
  capacity_ = capacity;
}

int64_t CacheGroup::droppable(int64_t stored) const {
  const int64_t kept = kept_tokens(window_);
  return window_ > 0 && stored > kept ? (stored - kept) / kUnit * kUnit : 0;
}

// The first tokens of a slot go, the others move to its front: piece by piece, so that none is written where another
// still has to be read.
void CacheGroup::drop(int64_t slot, int64_t stored, int64_t tokens) {
  const int64_t start = slot * capacity_;
  for (const Layer& layer : layers_) {
    for (const Tensor* each : {&layer.key, &layer.value}) {
      if (!each->defined()) continue;
      for (int64_t at = tokens; at < stored; at += tokens) {
        const int64_t count = std::min(tokens, stored - at);
        rows_of(*each, start + at - tokens, count).copy_(rows_of(*each, start + at, count));
      }
    }
  }
  dropped_[static_cast<size_t>(slot)] += tokens;
}

void CacheGroup::begin(std::span<const int64_t> slots, std::span<const int64_t> lengths,
                       std::span<const int64_t> counts) {
  rows_.clear();
  int64_t longest = 0;
  for (size_t i = 0; i < slots.size(); ++i) {
    Row row{.slot = slots[i], .stored = lengths[i] - dropped_[static_cast<size_t>(slots[i])], .count = counts[i]};
    const int64_t tokens = droppable(row.stored);
    if (row.stored + row.count > capacity_ && tokens > 0) {
      drop(row.slot, row.stored, tokens);
      row.stored -= tokens;
    }
    longest = std::max(longest, row.stored + row.count);
    rows_.push_back(row);
  }
  if (longest > capacity_) {
    int64_t wanted = std::max(longest, 2 * capacity_);
    if (window_ > 0) wanted = std::min(wanted, window_capacity(window_));
    if (wanted > capacity_) resize(num_slots_, wanted);
  }
  spills_ = longest > capacity_;
  RecycledVector<int64_t> starts, totals;
  int64_t next = 0;
  for (Row& row : rows_) {
    starts.push_back(spills_ ? next : row.slot * capacity_);
    totals.push_back(row.stored + row.count);
    next += totals.back();
    row.drop = spills_ ? droppable(totals.back()) : 0;
  }
  offsets_ = SequenceOffsets::with_lengths(starts, totals, device_);
}

// The new rows behind those of the buffer; what the call's attention reads.
Tensor CacheGroup::add_rows(const Tensor& buffer, const Tensor& added) const {
  int64_t from = 0;
  if (!spills_) {
    for (const Row& row : rows_) {
      rows_of(buffer, row.slot * capacity_ + row.stored, row.count).copy_(rows_of(added, from, row.count));
      from += row.count;
    }
    return buffer;
  }
  int64_t all = 0;
  for (const Row& row : rows_) all += row.stored + row.count;
  const Tensor whole = Tensor::empty({all, added.size(1), added.size(2)}, added.dtype(), added.device());
  int64_t to = 0;
  for (const Row& row : rows_) {
    const int64_t total = row.stored + row.count, start = row.slot * capacity_;
    rows_of(whole, to, row.stored).copy_(rows_of(buffer, start, row.stored));
    rows_of(whole, to + row.stored, row.count).copy_(rows_of(added, from, row.count));
    rows_of(buffer, start, total - row.drop).copy_(rows_of(whole, to + row.drop, total - row.drop));
    from += row.count;
    to += total;
  }
  return whole;
}

std::pair<Tensor, Tensor> CacheGroup::append(size_t layer, const Tensor& key, const Tensor& value) {
  Layer& kept = layers_[layer];
  if (!kept.key.defined()) {
    check_memory(num_slots_, capacity_, token_bytes(key) + token_bytes(value));
    for (const auto& [buffer, rows] : {std::pair{&kept.key, &key}, std::pair{&kept.value, &value}}) {
      *buffer = Tensor::empty({num_slots_ * capacity_, rows->size(1), rows->size(2)}, rows->dtype(), rows->device());
    }
  }
  return {add_rows(kept.key, key), add_rows(kept.value, value)};
}

void CacheGroup::end() {
  for (const Row& row : rows_) dropped_[static_cast<size_t>(row.slot)] += row.drop;
  rows_.clear();
  spills_ = false;
}

void CacheGroup::copy_slot(int64_t from, int64_t to, int64_t length) {
  const int64_t stored = length - dropped_[static_cast<size_t>(from)];
  for (const Layer& layer : layers_) {
    for (const Tensor* each : {&layer.key, &layer.value}) {
      if (each->defined()) rows_of(*each, to * capacity_, stored).copy_(rows_of(*each, from * capacity_, stored));
    }
  }
  dropped_[static_cast<size_t>(to)] = dropped_[static_cast<size_t>(from)];
}

bool CacheGroup::may_truncate(int64_t slot, int64_t length) const {
  const int64_t dropped = dropped_[static_cast<size_t>(slot)];
  return length == 0 || dropped == 0 || dropped <= length - window_ + 1;
}

void CacheGroup::truncate(int64_t slot, int64_t length) {
  if (length == 0) dropped_[static_cast<size_t>(slot)] = 0;
}

}  // namespace mica
