// Rows put where indices in device memory say: a decoding step's keys and values into their cache. Bytes: each element
// read once and written once, a few KiB in all, so that the time is a launch's; neighbouring threads move neighbouring
// elements.

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/shape.h"

namespace mica::cuda {
namespace {

struct RowMove {
  int64_t rows, heads, size;
  int64_t x_row, x_head, y_row, y_head;
};

// Elements as bits.
template <typename Bits>
__global__ void put_rows_kernel(RowMove a, const Bits* x, const int64_t* index, Bits* y) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < a.rows * a.heads * a.size; i += step) {
    const int64_t vector = i / a.size, column = i - vector * a.size, row = vector / a.heads, head = vector % a.heads;
    y[index[row] * a.y_row + head * a.y_head + column] = x[row * a.x_row + head * a.x_head + column];
  }
}

}  // namespace

void CudaShape::put_rows(const View& x, const View& index, const View& y) {
  const RowMove a{x.size(0), x.size(1), x.size(2), x.stride(0), x.stride(1), y.stride(0), y.stride(1)};
  const auto move = [&](auto zero) {
    using Bits = decltype(zero);
    launch("shape.put_rows", device_.stream, over(a.rows * a.heads * a.size), put_rows_kernel<Bits>, a,
           x.as<const Bits>(), index.as<const int64_t>(), y.as<Bits>());
  };
  switch (item_size(x.dtype)) {
    case 1:
      return move(uint8_t{});
    case 2:
      return move(uint16_t{});
    case 4:
      return move(uint32_t{});
    default:
      return move(uint64_t{});
  }
}

}  // namespace mica::cuda
