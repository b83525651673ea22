#include "mica/kernels/cuda/emulate/bulk_copy.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda::emulate {
namespace {

constexpr uint64_t kMark = 0x6d696361'746d6170U;  // tells a map that was made from bytes that were not

TensorBox read_words(const uint64_t* words, Line line) {
  if (words[15] != kMark) fault("copy_box: this is no tensor map that the host made", line);
  TensorBox tensor{};
  std::memcpy(&tensor, words, sizeof(tensor));
  return tensor;
}

// One row of the box: items of the fastest dimension.
void copy_row(const TensorBox& tensor, const int64_t (&at)[4], std::byte* shared, int64_t offset) {
  const int64_t bytes = int64_t{tensor.box[0]} * tensor.item_bytes;
  std::byte row[1024];
  std::fill_n(row, bytes, std::byte{0});
  bool inside = true;
  const std::byte* from = tensor.data;
  for (int d = 1; d < tensor.rank; ++d) {
    inside = inside && at[d] >= 0 && at[d] < tensor.sizes[d];
    from += at[d] * tensor.strides[d];
  }
  const int64_t first = std::max<int64_t>(at[0], 0), end = std::min(at[0] + tensor.box[0], tensor.sizes[0]);
  if (inside && first < end) {
    std::memcpy(row + (first - at[0]) * tensor.item_bytes, from + first * tensor.item_bytes,
                static_cast<size_t>((end - first) * tensor.item_bytes));
  }
  for (int64_t piece = 0; piece < bytes; piece += 16) {
    const int64_t place = tensor.swizzled ? swizzled_128(offset + piece) : offset + piece;
    std::memcpy(shared + place, row + piece, 16);
  }
}

}  // namespace

void write_words(const TensorBox& tensor, uint64_t* words) {
  static_assert(sizeof(TensorBox) <= 15 * sizeof(uint64_t));
  std::memcpy(words, &tensor, sizeof(tensor));
  words[15] = kMark;
}

void copy_box(void* to, const uint64_t* words, const int* at, int rank, std::function<void(unsigned)> landed,
              Line line) {
  if (properties(0).compute_major < 9) fault("copy_box: GPUs before sm_90 have no bulk copies", line);
  const TensorBox tensor = read_words(words, line);
  if (rank != tensor.rank) fault("copy_box: not as many coordinates as the tensor map has dimensions", line);
  int64_t rows = 1;
  for (int d = 1; d < rank; ++d) rows *= tensor.box[d];
  const int64_t row_bytes = int64_t{tensor.box[0]} * tensor.item_bytes, bytes = rows * row_bytes;
  check_shared(to, bytes, 128, "copy_box", line);
  // The last element of the tensor inside the box tells whether the tensor still lies in memory.
  const std::byte* last = tensor.data;
  bool any = true;
  int64_t begin[4] = {};
  for (int d = 0; d < rank; ++d) {
    begin[d] = at[d];
    const int64_t end = std::min<int64_t>(int64_t{at[d]} + tensor.box[d], tensor.sizes[d]);
    any = any && end > std::max(at[d], 0);
    last += (end - 1) * tensor.strides[d];
  }
  if (any) check_global(last, tensor.item_bytes, 1, "copy_box", line);
  std::byte* shared = shared_memory();
  const int64_t offset = static_cast<std::byte*>(to) - shared;
  start_copy(
      to, bytes,
      [=, landed = std::move(landed)] {
        for (int64_t r = 0; r < rows; ++r) {
          int64_t place[4] = {begin[0], 0, 0, 0}, rest = r;
          for (int d = 1; d < tensor.rank; ++d) {
            place[d] = begin[d] + rest % tensor.box[d];
            rest /= tensor.box[d];
          }
          copy_row(tensor, place, shared, offset + r * row_bytes);
        }
        landed(static_cast<unsigned>(bytes));
      },
      "bulk copy", line);
}

}  // namespace mica::cuda::emulate
