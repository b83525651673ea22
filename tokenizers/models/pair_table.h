#pragma once
// Pairs of token ids that BPE joins, with their rank: one open-addressing table of 8-byte slots.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "mica/base/image.h"
#include "mica/base/pages.h"
#include "mica/base/table.h"

namespace mica {

class PairTable {
 public:
  static constexpr int kIdBits = 21, kRankBits = 22;
  static constexpr int64_t kMaxId = (int64_t{1} << kIdBits) - 1;
  static constexpr int64_t kMaxRank = (int64_t{1} << kRankBits) - 2;
  /// What find() gives for a pair that is not there; above every rank.
  static constexpr uint32_t kNone = UINT32_MAX;

  PairTable() : PairTable(0) { finish(); }
  explicit PairTable(size_t pairs) : made_slots_(std::bit_ceil(pairs * 2 + 2), kFree) {
    made_there_.assign(std::max<size_t>(1, made_slots_.size() / 16), 0);
    set_shifts();
  }
  /// One that an image keeps.
  explicit PairTable(ImageReader& image) : slots_(image.take<uint64_t>()), there_(image.take<uint64_t>()) {
    set_shifts();
  }
  void write(ImageWriter& image) const {
    image.add(slots_);
    image.add(there_);
  }

  /// A pair that is there gets the new rank. At most as many pairs as the constructor was told.
  void insert(int32_t left, int32_t right, uint32_t rank) {
    const uint64_t key = key_of(left, right);
    const size_t bit = bit_of(key);
    made_there_[bit >> 6] |= uint64_t{1} << (bit & 63);
    size_t at = slot_of(key);
    while (made_slots_[at] != kFree && made_slots_[at] >> kRankBits != key) at = (at + 1) & (made_slots_.size() - 1);
    made_slots_[at] = key << kRankBits | rank;
  }
  /// After the last pair, and before the first question.
  void finish() {
    slots_ = Table<uint64_t>(std::move(made_slots_));
    there_ = Table<uint64_t>(std::move(made_there_));
  }
  uint32_t find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    const size_t bit = bit_of(key);
    if ((there_[bit >> 6] >> (bit & 63) & 1) == 0) return kNone;
    for (size_t at = slot_of(key);; at = (at + 1) & (slots_.size() - 1)) {
      const uint64_t slot = slots_[at];
      if (slot >> kRankBits == key && slot != kFree) return static_cast<uint32_t>(slot & ((1u << kRankBits) - 1));
      if (slot == kFree) return kNone;
    }
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << kIdBits | static_cast<uint64_t>(right);
  }
  size_t slot_of(uint64_t key) const { return static_cast<size_t>(key * 0x9e3779b97f4a7c15u >> shift_); }

  size_t bit_of(uint64_t key) const { return static_cast<size_t>(key * 0xd1342543de82ef95u >> bit_shift_); }

  void set_shifts() {
    shift_ = 64 - std::countr_zero(std::max(made_slots_.size(), slots_.size()));
    bit_shift_ = 64 - std::countr_zero(std::max(made_there_.size(), there_.size()) * 64);
  }

  // While pairs are inserted.
  BlockVector<uint64_t> made_slots_;
  std::vector<uint64_t> made_there_;

  Table<uint64_t> slots_;
  Table<uint64_t> there_;  // a bit for each pair, at a place that pairs share: most questions end here
  int shift_ = 63, bit_shift_ = 58;
};

}  // namespace mica
