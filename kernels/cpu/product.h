#pragma once
// The plain matrix product: the sum over k runs in its order for every element of the result, so that an element's bits
// depend on nothing but its row of a and its column of b.

#include <type_traits>

#include "mica/kernels/dtype.h"

namespace mica::cpu {

/// Columns that are computed together.
template <typename T>
constexpr int64_t kPanel = 32 / static_cast<int64_t>(sizeof(T));

/// a [m, k] times b [k, n], each with any strides (in elements); b of any floating dtype.
template <typename T>
struct Product {
  int64_t m, n, k;
  const T* a;
  int64_t a_row, a_k;
  const void* b;
  DType b_dtype;
  int64_t b_k, b_column;
};

namespace detail {
template <typename T>
using Finish = void (*)(void* context, int64_t row, int64_t column, int64_t rows, int64_t columns, const T* tile);
template <typename T>
void product(const Product<T>& product, Finish<T> finish, void* context);
}  // namespace detail

/// Calls finish(row, column, rows, columns, tile) once for each tile of the result, in parallel; tile[r * kPanel<T> +
/// c] is the element [row + r, column + c] of the product.
template <typename T, typename F>
void product(const Product<T>& operands, F&& finish) {
  using Plain = std::remove_reference_t<F>;
  detail::product<T>(
      operands,
      [](void* context, int64_t row, int64_t column, int64_t rows, int64_t columns, const T* tile) {
        (*static_cast<Plain*>(context))(row, column, rows, columns, tile);
      },
      const_cast<void*>(static_cast<const void*>(&finish)));
}

/// c = alpha * a · b + beta * c, rows of c `c_row` elements apart; beta 0 never reads c.
template <typename T>
void product_into(const Product<T>& operands, T alpha, bool accumulate, T* c, int64_t c_row) {
  product<T>(operands, [&](int64_t row, int64_t column, int64_t rows, int64_t columns, const T* tile) {
    for (int64_t r = 0; r < rows; ++r) {
      T* out = c + (row + r) * c_row + column;
      const T* in = tile + r * kPanel<T>;
      for (int64_t i = 0; i < columns; ++i) out[i] = accumulate ? alpha * in[i] + out[i] : alpha * in[i];
    }
  });
}

}  // namespace mica::cpu
