// Reads weights in their own order and dtype.
//
// Must read each element once. A column-by-column weight (a linear layer's [out, in]) is turned in registers, 16
// columns by 16 words at a time, 64 shuffles a kilobyte: a core does that three times as fast as it reads memory. A
// row-by-row weight (GPT-2's [in, out]) is copied, in bfloat16 two rows interleaved, or used where it lies.

#include "mica/kernels/cpu/simd/stored_weight.h"

#include <algorithm>
#include <cstring>

#include "mica/kernels/cpu/simd/few_rows.h"
#include "mica/kernels/cpu/simd/scratch.h"

namespace mica::cpu::simd {

bool StoredWeight::supports(const View& weight) {
  const bool dtype =
      weight.dtype == DType::float32 || weight.dtype == DType::bfloat16 || weight.dtype == DType::float16;
  return dtype && (weight.stride(0) == 1 || weight.stride(1) == 1);
}

StoredWeight::StoredWeight(const View& weight)
    : data_(weight.as<const char>()),
      dtype_(weight.dtype),
      item_(item_size(weight.dtype)),
      out_(weight.size(0)),
      in_(weight.size(1)),
      column_stride_(weight.stride(0)),
      depth_stride_(weight.stride(1)),
      pairs_(weight.dtype == DType::bfloat16 && bfloat16_tile_kernels() != nullptr),
      kernels_(pairs_ ? best_bfloat16_tile_kernels() : &tile_kernels()) {}

void StoredWeight::load(int64_t column, int64_t columns, int64_t word, int64_t count, float* to, int64_t to_row) const {
  if (!by_columns()) return load_rows(column, columns, word, count, to, to_row);
  const int64_t lanes = kernels_->lanes;
  for (int64_t c = 0; c < columns; c += lanes)
    load_columns(column + c, std::min(lanes, columns - c), word, count, to + c, to_row);
}

// At most a vector of columns.
void StoredWeight::load_columns(int64_t column, int64_t columns, int64_t word, int64_t count, float* to,
                                int64_t to_row) const {
  const int64_t per_word = pairs_ ? 2 : 1;
  const char* from = at(column, word * per_word);
  const bool words_in_place =
      dtype_ == DType::float32 ||
      (pairs_ && column_stride_ % 2 == 0 && reinterpret_cast<uintptr_t>(from) % 4 == 0 && (word + count) * 2 <= in_);
  if (words_in_place) {
    const auto* words = reinterpret_cast<const float*>(from);
    const int64_t stride = column_stride_ / per_word;
    if (columns != 16 || !turn_columns(words, stride, count, to, to_row))
      transpose_rows(words, stride, columns, count, to, to_row);
    return;
  }
  float* buffer = scratch(Scratch::rows, kernels_->lanes * count);
  const int64_t left = std::min(count * per_word, in_ - word * per_word);
  for (int64_t c = 0; c < columns; ++c) {
    const char* row = at(column + c, word * per_word);
    if (!pairs_) {
      widen(dtype_, row, left, buffer + c * count);
      continue;
    }
    if (left < 2 * count) buffer[c * count + count - 1] = 0;
    std::memcpy(buffer + c * count, row, static_cast<size_t>(left * item_));
  }
  transpose_rows(buffer, count, columns, count, to, to_row);
}

void StoredWeight::load_rows(int64_t column, int64_t columns, int64_t word, int64_t count, float* to,
                             int64_t to_row) const {
  const int64_t lanes = kernels_->lanes, filled = (columns + lanes - 1) / lanes * lanes;
  if (pairs_) {
    const int64_t depth = word * 2, rows = std::min(2 * count, in_ - depth);
    if (filled == to_row) {
      return pair_bfloat16_rows(reinterpret_cast<const uint16_t*>(at(column, depth)), depth_stride_, rows, columns, to,
                                to_row);
    }
    for (int64_t k = 0; k < count; ++k) {
      pair_bfloat16_rows(reinterpret_cast<const uint16_t*>(at(column, depth + 2 * k)), depth_stride_,
                         std::min<int64_t>(2, rows - 2 * k), columns, to + k * to_row, filled);
    }
    return;
  }
  for (int64_t k = 0; k < count; ++k) {
    float* row = to + k * to_row;
    if (dtype_ == DType::float32) {
      std::memcpy(row, at(column, word + k), static_cast<size_t>(columns) * sizeof(float));
    } else {
      widen(dtype_, at(column, word + k), columns, row);
    }
    std::fill(row + columns, row + filled, 0.0F);
  }
}

const float* StoredWeight::in_place(int64_t column, int64_t columns, int64_t word) const {
  const bool ready = dtype_ == DType::float32 && !by_columns() && columns % kernels_->lanes == 0;
  return ready ? reinterpret_cast<const float*>(at(column, word)) : nullptr;
}

int64_t StoredWeight::before_line(int64_t depth) const {
  const auto inside = static_cast<int64_t>(reinterpret_cast<uintptr_t>(at(0, depth)) % Fetcher::kLine);
  if (inside % 4 != 0 || stride_bytes() % Fetcher::kLine != 0) return 0;
  return (Fetcher::kLine - inside) % Fetcher::kLine / item_;
}

Region StoredWeight::region(int64_t column, int64_t columns, int64_t word, int64_t count) const {
  const int64_t per_word = pairs_ ? 2 : 1;
  const int64_t depth = std::min(count * per_word, in_ - word * per_word);
  Region region;
  region.data = at(column, word * per_word);
  const bool columns_are_rows = by_columns();
  region.rows = columns_are_rows ? columns : depth;
  region.bytes = (columns_are_rows ? depth : columns) * item_;
  region.stride = (columns_are_rows ? column_stride_ : depth_stride_) * item_;
  if (region.stride == region.bytes) region = {region.data, 1, region.rows * region.bytes, 0};
  return region;
}

}  // namespace mica::cpu::simd
