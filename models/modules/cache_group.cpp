#include "mica/models/modules/cache_group.h"

#include <algorithm>
#include <string>

#include "mica/base/error.h"
#include "mica/base/pages.h"
#include "mica/kernels/shape.h"

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

Tensor rows_of(const Tensor& x, int64_t first, int64_t count) {
  return x.slice(0, first, first + count);
}

// The kernel that puts rows wants the last dimension dense.
Tensor dense_heads(const Tensor& x) {
  return x.stride(2) == 1 || x.size(2) == 1 ? x : x.contiguous();
}

}  // namespace

CacheGroup::CacheGroup(int64_t window, size_t layers, int64_t slots, int64_t capacity, Device device)
    : window_(window),
      num_slots_(slots),
      capacity_(window > 0 ? std::min(capacity, window_capacity(window)) : capacity),
      layers_(layers),
      dropped_(static_cast<size_t>(slots), 0),
      device_(device),
      recent_from_(static_cast<size_t>(slots), 0) {}

int64_t CacheGroup::bytes() const {
  int64_t total = 0;
  for (const Layer& layer : layers_) {
    for (const CacheRows& each : layer) total += each.bytes();
  }
  for (const Tensor& each : wide_) {
    if (each.defined()) total += each.numel() * item_size(each.dtype());
  }
  return total;
}

// A ring that is as long as the slots never comes round, but where windows let texts grow beyond their slots.
CacheSlots CacheGroup::slots(int64_t count, int64_t capacity) const {
  if (quantization_ == nullptr) return {count, capacity, 0};
  const int64_t recent = quantization_->recent();
  return {count, capacity, window_ > 0 ? recent : std::min(recent, capacity)};
}

// The system promises more pages than it has, and ends the program that uses them: a cache that cannot be filled is
// refused before it is begun. (Another device's memory refuses by itself.) Where each layer's sizes are told by one of
// them, here by the rows that it is to hold.
void CacheGroup::check_memory(const CacheSlots& slots, const Tensor& key, const Tensor& value) const {
  if (!device_.is_cpu()) return;
  Layer one;
  one[0].make(key, {0, 0, 0}, quantization_);
  one[1].make(value, {0, 0, 0}, quantization_);
  const auto layers = static_cast<double>(layers_.size());
  double token = 0, recent = 0;
  for (const CacheRows& each : one) {
    token += layers * static_cast<double>(each.token_bytes());
    recent += layers * static_cast<double>(each.recent_token_bytes());
    if (quantization_ != nullptr) token += static_cast<double>(each.recent_token_bytes());  // widened
  }
  const double text = static_cast<double>(slots.capacity) * token + static_cast<double>(slots.recent) * recent;
  const double mebibytes = static_cast<double>(slots.count) * text / (1 << 20);
  const int64_t have = physical_memory() >> 20;
  if (mebibytes <= static_cast<double>(have)) return;
  throw Error("keys and values of " + std::to_string(slots.count) + " texts of " + std::to_string(slots.capacity) +
                  " tokens take " + std::to_string(static_cast<int64_t>(std::min(mebibytes, 9e18))) + " MiB",
              "cache", "this machine has " + std::to_string(have) + "; use fewer new tokens or a smaller batch");
}

void CacheGroup::resize(int64_t count, int64_t capacity) {
  const CacheSlots from = slots(num_slots_, capacity_), to = slots(count, capacity);
  for (const Layer& layer : layers_) {
    if (!layer[0].defined()) continue;
    check_memory(to, layer[0].like(), layer[1].like());
    break;
  }
  for (Layer& layer : layers_) {
    for (CacheRows& each : layer) {
      if (each.defined()) each.resize(from, to);
    }
  }
  for (Tensor& each : wide_) each = {};
  ++moves_;
  dropped_.resize(static_cast<size_t>(count), 0);
  recent_from_.resize(static_cast<size_t>(count), 0);
  num_slots_ = count;
  capacity_ = capacity;
}

int64_t CacheGroup::droppable(int64_t stored) const {
  const int64_t kept = kept_tokens(window_);
  return window_ > 0 && stored > kept ? (stored - kept) / kUnit * kUnit : 0;
}

// Of a text's stored tokens, those that lie in the slot: all, or the ones in 8 bits.
int64_t CacheGroup::rows_held(int64_t slot, int64_t stored) const {
  if (quantization_ == nullptr) return stored;
  const int64_t dropped = dropped_[static_cast<size_t>(slot)];
  return std::max<int64_t>(0, quantization_->rounded(dropped + stored) - dropped);
}

// The first tokens of a slot go, the others move to its front: piece by piece, so that none is written where another
// still has to be read.
void CacheGroup::drop(int64_t slot, int64_t stored, int64_t tokens) {
  const int64_t start = slot * capacity_, held = rows_held(slot, stored);
  for (Layer& layer : layers_) {
    for (CacheRows& each : layer) {
      if (!each.defined()) continue;
      for (int64_t at = tokens; at < held; at += tokens) {
        each.copy(start + at, start + at - tokens, std::min(tokens, held - at));
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
    if (quantization_ != nullptr) wanted = std::max(wanted, longest);  // widened in the slots' order
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

// The text in full precision, but for what is seen in 8 bits: that is widened; then come those that the ring holds, and
// the new ones. What will be seen in 8 bits from the next call on is rounded now.
Tensor CacheGroup::add_quantized(CacheRows& kept, const Tensor& added, Tensor& wide) const {
  const Shape shape{num_slots_ * capacity_, added.size(1), added.size(2)};
  if (!wide.defined() || wide.shape() != shape || wide.dtype() != added.dtype()) {
    wide = {};
    wide = Tensor::empty(shape, added.dtype(), added.device());
  }
  int64_t from = 0;
  for (const Row& row : rows_) {
    const int64_t start = row.slot * capacity_, position = dropped_[static_cast<size_t>(row.slot)] + row.stored;
    const int64_t rounded = rows_held(row.slot, row.stored), next = rows_held(row.slot, row.stored + row.count);
    const Tensor fresh = rows_of(added, from, row.count);
    if (rounded > 0) kept.dequantize(start, rows_of(wide, start, rounded));
    const int64_t recent = row.stored - rounded;
    kept.recall(row.slot, position - recent, rows_of(wide, start + rounded, recent));
    rows_of(wide, start + row.stored, row.count).copy_(fresh);
    if (next > rounded) kept.quantize(rows_of(wide, start + rounded, next - rounded), start + rounded);
    kept.keep(row.slot, position, fresh);
    from += row.count;
  }
  return wide;
}

// The buffers of a layer, when its first rows come.
void CacheGroup::make(Layer* layer, const Tensor& key, const Tensor& value) const {
  if ((*layer)[0].defined()) return;
  const CacheSlots room = slots(num_slots_, capacity_);
  check_memory(room, key, value);
  (*layer)[0].make(key, room, quantization_);
  (*layer)[1].make(value, room, quantization_);
}

std::optional<CacheTargets> CacheGroup::targets(size_t layer, const Tensor& key, const Tensor& value) {
  if (quantization_ != nullptr || spills_) return std::nullopt;
  Layer& kept = layers_[layer];
  make(&kept, key, value);
  CacheTargets result{kept[0].rows(), kept[1].rows(), {}, {}};
  if (result.keys.dtype() != key.dtype() || result.values.dtype() != value.dtype()) return std::nullopt;
  if (step_ != nullptr) {
    result.rows = step_->rows;
    return result;
  }
  int64_t from = 0;
  for (const Row& row : rows_) {
    result.runs.push_back({from, row.count, row.slot * capacity_ + row.stored});
    from += row.count;
  }
  return result;
}

std::pair<Tensor, Tensor> CacheGroup::append(size_t layer, const Tensor& key, const Tensor& value) {
  Layer& kept = layers_[layer];
  if (step_ != nullptr) {
    ShapeKernels& kernels = backend(device_).shape();
    const Tensor keys = dense_heads(key), values = dense_heads(value);
    kernels.put_rows(keys.view(), step_->rows.view(), kept[0].rows().view());
    kernels.put_rows(values.view(), step_->rows.view(), kept[1].rows().view());
    return {kept[0].rows(), kept[1].rows()};
  }
  make(&kept, key, value);
  if (quantization_ == nullptr) return {add_rows(kept[0].rows(), key), add_rows(kept[1].rows(), value)};
  return {add_quantized(kept[0], key, wide_[0]), add_quantized(kept[1], value, wide_[1])};
}

void CacheGroup::end() {
  for (const Row& row : rows_) {
    const auto slot = static_cast<size_t>(row.slot);
    const int64_t length = dropped_[slot] + row.stored + row.count;
    recent_from_[slot] = std::max(recent_from_[slot], length - slots(num_slots_, capacity_).recent);
    dropped_[slot] += row.drop;
  }
  rows_.clear();
  spills_ = false;
  step_ = nullptr;
}

CachePlace CacheGroup::place(int64_t slot, int64_t length) const {
  const int64_t stored = length - dropped_[static_cast<size_t>(slot)], start = slot * capacity_;
  return {.row = start + stored, .start = start, .length = stored + 1};
}

int64_t CacheGroup::steps(int64_t slot, int64_t length) const {
  const bool made = std::all_of(layers_.begin(), layers_.end(), [](const Layer& each) { return each[0].defined(); });
  return made && quantization_ == nullptr ? capacity_ - (length - dropped_[static_cast<size_t>(slot)]) : 0;
}

void CacheGroup::copy_slot(int64_t from, int64_t to, int64_t length) {
  const auto source = static_cast<size_t>(from), target = static_cast<size_t>(to);
  const int64_t held = rows_held(from, length - dropped_[source]);
  for (Layer& layer : layers_) {
    for (CacheRows& each : layer) {
      if (!each.defined()) continue;
      each.copy(from * capacity_, to * capacity_, held);
      each.copy_recent(from, to);
    }
  }
  dropped_[target] = dropped_[source];
  recent_from_[target] = recent_from_[source];
}

bool CacheGroup::may_truncate(int64_t slot, int64_t length) const {
  const int64_t dropped = dropped_[static_cast<size_t>(slot)];
  if (length == 0) return true;
  if (quantization_ != nullptr) {
    const int64_t needed = std::max(quantization_->rounded(length), dropped);
    if (recent_from_[static_cast<size_t>(slot)] > needed) return false;
  }
  return dropped == 0 || dropped <= length - window_ + 1;
}

void CacheGroup::truncate(int64_t slot, int64_t length) {
  if (length > 0) return;
  dropped_[static_cast<size_t>(slot)] = 0;
  recent_from_[static_cast<size_t>(slot)] = 0;
}

}  // namespace mica
