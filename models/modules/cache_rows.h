#pragma once
// Internal: the keys, or the values, of one layer of a cache.

#include <cstdint>

#include "mica/models/modules/cache_quantization.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// How many texts there is room for, of how many tokens each; and how many of these are kept as they are beside rows in
/// 8 bits.
struct CacheSlots {
  int64_t count = 0, capacity = 0, recent = 0;
};

/// A text's rows lie side by side in a slot. With rows in 8 bits, the newest ones lie in a ring as well: the row of the
/// text's token k at k modulo the ring's size.
class CacheRows {
 public:
  bool defined() const { return rows_.defined(); }
  int64_t bytes() const;
  /// Of one token: in its slot, and in the ring.
  int64_t token_bytes() const;
  int64_t recent_token_bytes() const;
  /// Rows of the shape and dtype that were appended.
  const Tensor& like() const { return recent_.defined() ? recent_ : rows_; }

  /// Room for rows like these, [any, heads, size]. `quantization`: null for rows as they are; else it must outlive
  /// this.
  void make(const Tensor& like, const CacheSlots& slots, const CacheQuantization* quantization);
  /// What the slots hold stays. A ring that grows must not have come round yet.
  void resize(const CacheSlots& from, const CacheSlots& to);
  /// Rows of the slots, which must not overlap.
  void copy(int64_t from, int64_t to, int64_t count);
  void copy_recent(int64_t from_slot, int64_t to_slot);

  /// The slots' rows as they are.
  const Tensor& rows() const { return rows_; }

  // Of rows in 8 bits:
  /// Writes x to the slots' rows from `at` on.
  void quantize(const Tensor& x, int64_t at);
  /// Reads them.
  void dequantize(int64_t at, const Tensor& y) const;
  /// Writes a text's newest rows, those of its tokens from `position` on, to the ring; the ring's size of them at most.
  void keep(int64_t slot, int64_t position, const Tensor& x);
  /// Reads them.
  void recall(int64_t slot, int64_t position, const Tensor& y) const;

 private:
  template <typename Body>
  void each_run(int64_t slot, int64_t position, int64_t count, const Body& body) const;

  const CacheQuantization* quantization_ = nullptr;
  Tensor rows_, scales_, recent_;  // [slots * capacity, heads, size], [..., groups], [slots * ring, heads, size]
  int64_t ring_ = 0;
};

}  // namespace mica
