#pragma once
// The dimensions of a tensor: up to 8, kept inline.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "mica/kernels/view.h"

namespace mica {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}
  /// Throws Error for more than 8 dimensions, a negative one, or a product beyond 2^62.
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t numel() const;
  /// Negative indices count from the end; throws Error when out of range.
  int64_t operator[](int dim) const { return dims_[static_cast<size_t>(index(dim))]; }
  void set(int dim, int64_t size) { dims_[static_cast<size_t>(index(dim))] = size; }
  /// Turns a dimension that counts from the end into one from the front; throws when out of range.
  int index(int dim) const;

  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  std::span<const int64_t> span() const { return {begin(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

/// "[2, 7, 32]".
std::string to_string(const Shape& shape);

/// The shape that both broadcast to, as numpy defines it; throws Error when there is none.
Shape broadcast(const Shape& a, const Shape& b);

}  // namespace mica
