#include "mica/models/modules/cache.h"

#include <algorithm>
#include <limits>
#include <string>

#include "mica/base/error.h"

namespace mica {

KeyValueCache::KeyValueCache(std::span<const int64_t> windows, int64_t batch, int64_t capacity, Device device)
    : lengths_(static_cast<size_t>(batch), 0), num_slots_(batch) {
  std::vector<int64_t> kinds;
  std::vector<size_t> layers;
  for (const int64_t window : windows) {
    const auto group = static_cast<size_t>(std::find(kinds.begin(), kinds.end(), window) - kinds.begin());
    if (group == kinds.size()) {
      kinds.push_back(window);
      layers.push_back(0);
    }
    places_.push_back({group, layers[group]++});
  }
  for (size_t i = 0; i < kinds.size(); ++i) {
    groups_.emplace_back(kinds[i], layers[i], batch, std::max<int64_t>(capacity, 1), device);
  }
  for (int64_t i = 0; i < batch; ++i) slots_.push_back(i);
}

void KeyValueCache::quantize(const CacheQuantization& quantization) {
  if (places_.empty()) {
    throw Error("a cache in 8 bits for a model without keys and values to keep", "cache",
                "leave cache_implementation out");
  }
  if (bytes() > 0) throw Error("a cache that is in use already", "cache", "ask for 8 bits before the first token");
  quantization_ = std::make_shared<const CacheQuantization>(quantization);
  for (CacheGroup& group : groups_) group.quantize(quantization_.get());
}

int64_t KeyValueCache::room(int64_t row) const {
  return quantization_ == nullptr ? std::numeric_limits<int64_t>::max() : CacheQuantization::room(length(row));
}

int64_t KeyValueCache::bytes() const {
  int64_t total = 0;
  for (const CacheGroup& group : groups_) total += group.bytes();
  return total;
}

void KeyValueCache::begin(std::span<const int64_t> counts) {
  if (static_cast<int64_t>(counts.size()) != batch()) {
    throw Error(std::to_string(counts.size()) + " sequences", "cache",
                "it holds " + std::to_string(batch()) + "; start another one");
  }
  if (!recorded_.empty()) {
    for (size_t i = 0; i < groups_.size(); ++i) groups_[i].begin_step(&recorded_[i]);
    return;
  }
  counts_.assign(counts.begin(), counts.end());
  for (CacheGroup& group : groups_) group.begin(slots_, lengths_, counts_);
}

std::pair<Tensor, Tensor> KeyValueCache::append(int64_t layer, const Tensor& key, const Tensor& value) {
  const Place& place = places_[static_cast<size_t>(layer)];
  return groups_[place.group].append(place.layer, key, value);
}

std::optional<CacheTargets> KeyValueCache::targets(int64_t layer, const Tensor& key, const Tensor& value) {
  const Place& place = places_[static_cast<size_t>(layer)];
  return groups_[place.group].targets(place.layer, key, value);
}

const SequenceOffsets& KeyValueCache::offsets(int64_t layer) const {
  return groups_[places_[static_cast<size_t>(layer)].group].offsets();
}

void KeyValueCache::end() {
  for (size_t i = 0; i < counts_.size(); ++i) lengths_[i] += counts_[i];
  counts_.clear();
  recorded_ = {};
  for (CacheGroup& group : groups_) group.end();
}

int64_t KeyValueCache::steps() const {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const CacheGroup& group : groups_) {
    for (size_t row = 0; row < slots_.size(); ++row) least = std::min(least, group.steps(slots_[row], lengths_[row]));
  }
  return least;
}

uint64_t KeyValueCache::moves() const {
  uint64_t total = 0;
  for (const CacheGroup& group : groups_) total += group.moves();
  return total;
}

void KeyValueCache::advance() {
  for (int64_t& length : lengths_) ++length;
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
    num_slots_ = used + copies;
    for (CacheGroup& group : groups_) group.set_slots(num_slots_);
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
    for (CacheGroup& group : groups_) group.copy_slot(slots_[from], free_slot, lengths_[from]);
  }
  slots_ = std::move(slots);
  lengths_ = std::move(lengths);
}

bool KeyValueCache::may_truncate(int64_t row, int64_t length) const {
  const int64_t slot = slots_[static_cast<size_t>(row)];
  return std::all_of(groups_.begin(), groups_.end(),
                     [&](const CacheGroup& group) { return group.may_truncate(slot, length); });
}

void KeyValueCache::truncate(int64_t row, int64_t length) {
  if (row < 0 || row >= batch() || length < 0 || length > this->length(row)) {
    throw Error("row " + std::to_string(row) + " cut to " + std::to_string(length) + " tokens", "cache",
                "name a row of the batch and no more tokens than it has");
  }
  if (!may_truncate(row, length)) {
    throw Error("row " + std::to_string(row) + " cut to " + std::to_string(length) + " tokens", "cache",
                "its window has forgotten what they need: cut it to 0 and give its tokens again");
  }
  for (CacheGroup& group : groups_) group.truncate(slots_[static_cast<size_t>(row)], length);
  lengths_[static_cast<size_t>(row)] = length;
}

}  // namespace mica
