#include "mica/models/modules/cache.h"

#include <algorithm>
#include <string>

#include "mica/base/error.h"
#include "mica/base/pages.h"
#include "mica/base/recycled.h"

namespace mica {
namespace {

int64_t token_bytes(const Tensor& rows) {
  return rows.size(1) * rows.size(2) * item_size(rows.dtype());
}

// A buffer with room for more slots or longer ones; what each slot holds stays.
Tensor grown(const Tensor& old, int64_t old_slots, int64_t old_capacity, int64_t slots, int64_t capacity) {
  const Tensor result = Tensor::empty({slots * capacity, old.size(1), old.size(2)}, old.dtype(), old.device());
  const int64_t kept = std::min(old_capacity, capacity);
  for (int64_t slot = 0; slot < std::min(old_slots, slots); ++slot) {
    result.slice(0, slot * capacity, slot * capacity + kept)
        .copy_(old.slice(0, slot * old_capacity, slot * old_capacity + kept));
  }
  return result;
}

}  // namespace

KeyValueCache::KeyValueCache(int64_t num_layers, int64_t batch, int64_t capacity)
    : layers_(static_cast<size_t>(num_layers)),
      lengths_(static_cast<size_t>(batch), 0),
      num_slots_(batch),
      capacity_(std::max<int64_t>(capacity, 1)) {
  for (int64_t i = 0; i < batch; ++i) slots_.push_back(i);
}

int64_t KeyValueCache::bytes() const {
  int64_t total = 0;
  for (const Layer& layer : layers_) {
    for (const Tensor* each : {&layer.key, &layer.value}) {
      if (each->defined()) total += each->numel() * item_size(each->dtype());
    }
  }
  return total;
}

// The system promises more pages than it has, and ends the program that uses them: a cache that cannot be filled is
// refused before it is begun. Where each layer's sizes are told by one of them.
void KeyValueCache::check_memory(int64_t slots, int64_t capacity, int64_t token_bytes) const {
  const auto tokens = static_cast<double>(slots) * static_cast<double>(capacity);
  const double mebibytes = tokens * static_cast<double>(token_bytes) * static_cast<double>(layers_.size()) / (1 << 20);
  const int64_t have = physical_memory() >> 20;
  if (mebibytes <= static_cast<double>(have)) return;
  throw Error("keys and values of " + std::to_string(slots) + " texts of " + std::to_string(capacity) +
                  " tokens take " + std::to_string(static_cast<int64_t>(std::min(mebibytes, 9e18))) + " MiB",
              "cache", "this machine has " + std::to_string(have) + "; use fewer new tokens or a smaller batch");
}

void KeyValueCache::resize(int64_t slots, int64_t capacity) {
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
  num_slots_ = slots;
  capacity_ = capacity;
}

void KeyValueCache::begin(std::span<const int64_t> counts) {
  if (static_cast<int64_t>(counts.size()) != batch()) {
    throw Error(std::to_string(counts.size()) + " sequences", "cache",
                "it holds " + std::to_string(batch()) + "; start another one");
  }
  counts_.assign(counts.begin(), counts.end());
  int64_t longest = 0;
  for (size_t i = 0; i < counts_.size(); ++i) longest = std::max(longest, lengths_[i] + counts_[i]);
  if (longest > capacity_) resize(num_slots_, std::max(longest, 2 * capacity_));
  RecycledVector<int64_t> starts(counts_.size()), lengths(counts_.size());
  for (size_t i = 0; i < counts_.size(); ++i) {
    starts[i] = slots_[i] * capacity_;
    lengths[i] = lengths_[i] + counts_[i];
  }
  offsets_ = SequenceOffsets::with_lengths(starts, lengths);
}

std::pair<Tensor, Tensor> KeyValueCache::append(int64_t layer, const Tensor& key, const Tensor& value) {
  Layer& kept = layers_[static_cast<size_t>(layer)];
  if (!kept.key.defined()) check_memory(num_slots_, capacity_, token_bytes(key) + token_bytes(value));
  const std::pair<Tensor*, const Tensor*> both[] = {{&kept.key, &key}, {&kept.value, &value}};
  for (const auto& [buffer, rows] : both) {
    if (!buffer->defined()) {
      *buffer = Tensor::empty({num_slots_ * capacity_, rows->size(1), rows->size(2)}, rows->dtype(), rows->device());
    }
    int64_t row = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      const int64_t first = slots_[i] * capacity_ + lengths_[i];
      buffer->slice(0, first, first + counts_[i]).copy_(rows->slice(0, row, row + counts_[i]));
      row += counts_[i];
    }
  }
  return {kept.key, kept.value};
}

void KeyValueCache::end() {
  for (size_t i = 0; i < counts_.size(); ++i) lengths_[i] += counts_[i];
  counts_.clear();
}

// The first row that continues an old one takes over its slot; further ones get a copy in a slot that became free.
void KeyValueCache::reorder(std::span<const int64_t> rows) {
  for (const int64_t row : rows) {
    if (row < 0 || row >= batch()) throw Error("row " + std::to_string(row), "cache", "it has no such row");
  }
  std::vector<bool> taken(static_cast<size_t>(num_slots_), false);
  for (const int64_t row : rows) taken[static_cast<size_t>(slots_[static_cast<size_t>(row)])] = true;
  const auto used = static_cast<int64_t>(std::count(taken.begin(), taken.end(), true));
  std::vector<bool> inherited(slots_.size(), false);
  const auto copies = static_cast<int64_t>(rows.size()) - used;
  if (used + copies > num_slots_) {
    resize(used + copies, capacity_);
    taken.resize(static_cast<size_t>(num_slots_), false);
  }
  std::vector<int64_t> slots;
  std::vector<int64_t> lengths;
  int64_t free_slot = 0;
  for (const int64_t row : rows) {
    const auto from = static_cast<size_t>(row);
    lengths.push_back(lengths_[from]);
    if (!inherited[from]) {
      inherited[from] = true;
      slots.push_back(slots_[from]);
      continue;
    }
    while (taken[static_cast<size_t>(free_slot)]) ++free_slot;
    taken[static_cast<size_t>(free_slot)] = true;
    slots.push_back(free_slot);
    for (Layer& layer : layers_) {
      for (Tensor* each : {&layer.key, &layer.value}) {
        if (!each->defined()) continue;
        const int64_t source = slots_[from] * capacity_;
        const int64_t target = free_slot * capacity_;
        each->slice(0, target, target + lengths_[from]).copy_(each->slice(0, source, source + lengths_[from]));
      }
    }
  }
  slots_ = std::move(slots);
  lengths_ = std::move(lengths);
}

void KeyValueCache::truncate(int64_t row, int64_t length) {
  if (row < 0 || row >= batch() || length < 0 || length > this->length(row)) {
    throw Error("row " + std::to_string(row) + " cut to " + std::to_string(length) + " tokens", "cache",
                "name a row of the batch and no more tokens than it has");
  }
  lengths_[static_cast<size_t>(row)] = length;
}

}  // namespace mica
