// Columns of b are gathered eight floats (four doubles) at a time into a panel that stays in cache while the rows of a
// run over it, four at a time: 32 sums in registers. There is no blocking of k, which keeps the order of summation
// plain, and the result can be finished (bias, activation, ...) while it is still in registers.

#include "mica/kernels/cpu/product.h"

#include <cstring>

#include "mica/kernels/cpu/support.h"

namespace mica::cpu {
namespace {

constexpr int64_t kRows = 4;        // of a tile
constexpr int64_t kRowBlock = 128;  // rows of one task

template <typename T, typename B>
T widen(B x) {
  if constexpr (std::is_floating_point_v<B>) {
    return static_cast<T>(x);
  } else {
    return static_cast<T>(static_cast<float>(x));
  }
}

template <typename T, typename B>
void gather(const B* b, int64_t b_k, int64_t b_column, int64_t k, int64_t columns, T* panel) {
  if (columns < kPanel<T>) std::fill_n(panel, k * kPanel<T>, T(0));
  if (b_column == 1) {
    for (int64_t p = 0; p < k; ++p) {
      for (int64_t j = 0; j < columns; ++j) panel[p * kPanel<T> + j] = widen<T>(b[p * b_k + j]);
    }
  } else {
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t p = 0; p < k; ++p) panel[p * kPanel<T> + j] = widen<T>(b[j * b_column + p * b_k]);
    }
  }
}

template <typename T>
void gather_any(const Product<T>& product, int64_t column, int64_t columns, T* panel) {
  const auto run = [&](auto tag) {
    using B = decltype(tag);
    gather(static_cast<const B*>(product.b) + column * product.b_column, product.b_k, product.b_column, product.k,
           columns, panel);
  };
  switch (product.b_dtype) {
    case DType::float32:
      return run(float{});
    case DType::float64:
      return run(double{});
    case DType::float16:
      return run(float16{});
    case DType::bfloat16:
      return run(bfloat16{});
    default:
      unsupported("linear.product", product.b_dtype, Device{});
  }
}

template <typename T, int kCount>
void multiply(int64_t k, const T* a, int64_t a_row, int64_t a_k, const T* panel, T* tile) {
  typedef T Vector __attribute__((vector_size(16)));
  Vector sums[kCount][2] = {};
  for (int64_t p = 0; p < k; ++p) {
    Vector b[2];
    std::memcpy(b, panel + p * kPanel<T>, sizeof(b));
    for (int r = 0; r < kCount; ++r) {
      const T factor = a[r * a_row + p * a_k];
      sums[r][0] += factor * b[0];
      sums[r][1] += factor * b[1];
    }
  }
  std::memcpy(tile, sums, sizeof(sums));
}

}  // namespace

template <typename T>
void detail::product(const Product<T>& product, Finish<T> finish, void* context) {
  if (product.m <= 0 || product.n <= 0) return;
  const int64_t panels = (product.n + kPanel<T> - 1) / kPanel<T>;
  const int64_t row_blocks = (product.m + kRowBlock - 1) / kRowBlock;
  const int64_t work = std::min(product.m, kRowBlock) * product.k * kPanel<T>;
  parallel_for(row_blocks * panels, row_grain(work / 8), [&](int64_t begin, int64_t end) {
    T* panel = scratch<T>(Scratch::panel, product.k * kPanel<T>);
    T tile[kRows * kPanel<T>];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t column = task % panels * kPanel<T>;
      const int64_t columns = std::min(kPanel<T>, product.n - column);
      const int64_t first = task / panels * kRowBlock;
      const int64_t last = std::min(product.m, first + kRowBlock);
      gather_any(product, column, columns, panel);
      for (int64_t row = first; row < last;) {
        const int64_t rows = row + kRows <= last ? kRows : 1;
        const T* a = product.a + row * product.a_row;
        if (rows == kRows) {
          multiply<T, kRows>(product.k, a, product.a_row, product.a_k, panel, tile);
        } else {
          multiply<T, 1>(product.k, a, product.a_row, product.a_k, panel, tile);
        }
        finish(context, row, column, rows, columns, tile);
        row += rows;
      }
    }
  });
}

template void detail::product(const Product<float>&, Finish<float>, void*);
template void detail::product(const Product<double>&, Finish<double>, void*);

}  // namespace mica::cpu
