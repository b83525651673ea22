#include "mica/models/modules/cache_rows.h"

#include <algorithm>

#include "mica/kernels/quantize.h"

namespace mica {
namespace {

Tensor rows_of(const Tensor& x, int64_t first, int64_t count) {
  return x.slice(0, first, first + count);
}

int64_t row_bytes(const Tensor& rows) {
  return rows.defined() ? rows.size(1) * rows.size(2) * item_size(rows.dtype()) : 0;
}

// A buffer with room for more slots or longer ones; what each slot holds stays.
void grow(Tensor& buffer, int64_t old_slots, int64_t old_capacity, int64_t slots, int64_t capacity) {
  if (!buffer.defined() || (slots == old_slots && capacity == old_capacity)) return;
  const Tensor result =
      Tensor::empty({slots * capacity, buffer.size(1), buffer.size(2)}, buffer.dtype(), buffer.device());
  const int64_t kept = std::min(old_capacity, capacity);
  for (int64_t slot = 0; slot < std::min(old_slots, slots); ++slot) {
    rows_of(result, slot * capacity, kept).copy_(rows_of(buffer, slot * old_capacity, kept));
  }
  buffer = result;
}

}  // namespace

int64_t CacheRows::token_bytes() const {
  return row_bytes(rows_) + row_bytes(scales_);
}

int64_t CacheRows::recent_token_bytes() const {
  return row_bytes(recent_);
}

int64_t CacheRows::bytes() const {
  int64_t total = 0;
  for (const Tensor* each : {&rows_, &scales_, &recent_}) {
    if (each->defined()) total += each->size(0) * row_bytes(*each);
  }
  return total;
}

void CacheRows::make(const Tensor& like, const CacheSlots& slots, const CacheQuantization* quantization) {
  quantization_ = quantization;
  const int64_t rows = slots.count * slots.capacity, heads = like.size(1), size = like.size(2);
  if (quantization_ == nullptr) {
    rows_ = Tensor::empty({rows, heads, size}, like.dtype(), like.device());
    return;
  }
  const int64_t groups = (size + quantization_->group_size - 1) / quantization_->group_size;
  rows_ = Tensor::empty({rows, heads, size}, DType::int8, like.device());
  scales_ = Tensor::empty({rows, heads, groups}, DType::float32, like.device());
  recent_ = Tensor::empty({slots.count * slots.recent, heads, size}, like.dtype(), like.device());
  ring_ = slots.recent;
}

void CacheRows::resize(const CacheSlots& from, const CacheSlots& to) {
  grow(rows_, from.count, from.capacity, to.count, to.capacity);
  grow(scales_, from.count, from.capacity, to.count, to.capacity);
  grow(recent_, from.count, from.recent, to.count, to.recent);
  if (recent_.defined()) ring_ = to.recent;
}

void CacheRows::copy(int64_t from, int64_t to, int64_t count) {
  for (Tensor* each : {&rows_, &scales_}) {
    if (each->defined()) rows_of(*each, to, count).copy_(rows_of(*each, from, count));
  }
}

void CacheRows::copy_recent(int64_t from_slot, int64_t to_slot) {
  if (!recent_.defined()) return;
  rows_of(recent_, to_slot * ring_, ring_).copy_(rows_of(recent_, from_slot * ring_, ring_));
}

void CacheRows::quantize(const Tensor& x, int64_t at) {
  const int64_t count = x.size(0);
  backend(x.device())
      .quantize()
      .quantize(x.view(), quantization_->group_size, rows_of(rows_, at, count).view(),
                rows_of(scales_, at, count).view());
}

void CacheRows::dequantize(int64_t at, const Tensor& y) const {
  const int64_t count = y.size(0);
  backend(y.device())
      .quantize()
      .dequantize(rows_of(rows_, at, count).view(), rows_of(scales_, at, count).view(), quantization_->group_size,
                  y.view());
}

// body(first row of the ring, first of the rows, how many): up to the ring's end, and on from its beginning.
template <typename Body>
void CacheRows::each_run(int64_t slot, int64_t position, int64_t count, const Body& body) const {
  for (int64_t done = 0; done < count;) {
    const int64_t at = (position + done) % ring_, run = std::min(count - done, ring_ - at);
    body(slot * ring_ + at, done, run);
    done += run;
  }
}

void CacheRows::keep(int64_t slot, int64_t position, const Tensor& x) {
  const int64_t skipped = std::max<int64_t>(0, x.size(0) - ring_);
  each_run(slot, position + skipped, x.size(0) - skipped, [&](int64_t at, int64_t first, int64_t count) {
    rows_of(recent_, at, count).copy_(rows_of(x, skipped + first, count));
  });
}

void CacheRows::recall(int64_t slot, int64_t position, const Tensor& y) const {
  each_run(slot, position, y.size(0), [&](int64_t at, int64_t first, int64_t count) {
    rows_of(y, first, count).copy_(rows_of(recent_, at, count));
  });
}

}  // namespace mica
