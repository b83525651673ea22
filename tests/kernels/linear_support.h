#pragma once
// What the tests of linear share: products in float64 with the error that a sum may have, matrices in the device's
// memory whose rows may lie apart.

#include "mica/kernels/linear.h"
#include "mica/tests/kernels/support.h"

namespace mica::test {

// want[i] += product, bound[i] += k eps sum |a||b|: the error of a sum of k terms in any order, with or without fused
// multiply-add.
struct Bounded {
  std::vector<double> want, bound;
};

inline Bounded product(int64_t m, int64_t n, int64_t k, const std::vector<double>& a,
                       const std::vector<double>& b_transposed, double epsilon) {
  Bounded out;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t p = 0; p < k; ++p) {
        const double term = a[static_cast<size_t>(i * k + p)] * b_transposed[static_cast<size_t>(j * k + p)];
        sum += term;
        magnitude += std::abs(term);
      }
      out.want.push_back(sum);
      out.bound.push_back((static_cast<double>(k) + 2) * epsilon * (magnitude + 1));
    }
  }
  return out;
}

inline std::vector<double> flipped(const std::vector<double>& x, int64_t rows, int64_t columns) {
  std::vector<double> out;
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) out.push_back(x[static_cast<size_t>(i * columns + j)]);
  }
  return out;
}

/// The numbers as T holds them.
template <typename T>
std::vector<T> rounded(const std::vector<double>& values) {
  std::vector<T> out;
  for (const double v : values) {
    if constexpr (std::is_same_v<T, double>) {
      out.push_back(v);
    } else {
      out.push_back(T(static_cast<float>(v)));
    }
  }
  return out;
}
template <typename T>
std::vector<double> widened(const std::vector<T>& values) {
  std::vector<double> out;
  for (const T& v : values) {
    if constexpr (std::is_same_v<T, double>) {
      out.push_back(v);
    } else {
      out.push_back(static_cast<double>(static_cast<float>(v)));
    }
  }
  return out;
}

/// Half a unit in the last place, of numbers near 1.
template <typename T>
constexpr double kRounding = std::is_same_v<T, float16>    ? 0x1p-11
                             : std::is_same_v<T, bfloat16> ? 0x1p-8
                             : std::is_same_v<T, float>    ? 0x1p-24
                                                           : 0x1p-53;

/// A matrix whose rows lie `row_stride` elements apart, the first one `shift` elements into the memory; what belongs to
/// no row is NaN. Transposed: seen as [rows, columns], but its columns lie side by side.
template <typename T>
class Matrix {
 public:
  Matrix(int64_t rows, int64_t columns, const std::vector<double>& values, int64_t row_stride, bool transposed = false,
         int64_t shift = 0)
      : rows_(rows),
        columns_(columns),
        stride_(row_stride),
        shift_(shift),
        transposed_(transposed),
        memory_({shift + (transposed ? columns : rows) * row_stride}, filled(values)) {}
  /// To be written.
  Matrix(int64_t rows, int64_t columns, int64_t row_stride) : Matrix(rows, columns, {}, row_stride) {}

  View view() const {
    View view = memory_.view();
    view.data = view.as<T>() + shift_;
    view.rank = 2;
    view.shape = {rows_, columns_};
    view.strides = {transposed_ ? 1 : stride_, transposed_ ? stride_ : 1};
    return view;
  }
  /// Of the rows; expects that nothing was written elsewhere.
  std::vector<T> values() const {
    const std::vector<T> all = memory_.values();
    std::vector<T> out;
    std::vector<bool> inside(all.size());
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < columns_; ++j) {
        out.push_back(all[at(i, j)]);
        inside[at(i, j)] = true;
      }
    }
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_TRUE(inside[i] || std::isnan(static_cast<float>(all[i]))) << "written outside the view at " << i;
    }
    return out;
  }

 private:
  size_t at(int64_t i, int64_t j) const {
    return static_cast<size_t>(shift_ + (transposed_ ? j * stride_ + i : i * stride_ + j));
  }
  std::vector<T> filled(const std::vector<double>& values) const {
    std::vector<T> all(static_cast<size_t>(shift_ + (transposed_ ? columns_ : rows_) * stride_), T(NAN));
    for (int64_t i = 0; i < rows_ && !values.empty(); ++i) {
      for (int64_t j = 0; j < columns_; ++j) {
        if constexpr (std::is_same_v<T, double>) {
          all[at(i, j)] = values[static_cast<size_t>(i * columns_ + j)];
        } else {
          all[at(i, j)] = T(static_cast<float>(values[static_cast<size_t>(i * columns_ + j)]));
        }
      }
    }
    return all;
  }

  int64_t rows_, columns_, stride_, shift_;
  bool transposed_;
  Array<T> memory_;
};

}  // namespace mica::test
