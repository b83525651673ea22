#include "mica/tensor/shape.h"

#include <algorithm>

#include "mica/base/error.h"

namespace mica {

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  if (dims.size() > kMaxRank) {
    throw Error("tensor of " + std::to_string(dims.size()) + " dimensions", "shape", "at most 8 are supported");
  }
  std::copy(dims.begin(), dims.end(), dims_.begin());
  // A shape is made for every op: no text for the error before there is one.
  int64_t product = 1;
  bool fits = true;
  for (const int64_t dim : dims) fits = fits && dim >= 0 && !__builtin_mul_overflow(product, dim, &product);
  if (!fits || product > INT64_MAX / 2) {
    throw Error("shape " + to_string(*this), "shape", "dimensions must not be negative, nor their product exceed 2^62");
  }
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (const int64_t dim : *this) n *= dim;
  return n;
}

int Shape::index(int dim) const {
  const int i = dim < 0 ? dim + rank_ : dim;
  if (i < 0 || i >= rank_) {
    throw Error("dimension " + std::to_string(dim) + " of a tensor of shape " + to_string(*this), "shape",
                "use -" + std::to_string(rank_) + " to " + std::to_string(rank_ - 1));
  }
  return i;
}

bool Shape::operator==(const Shape& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const int64_t dim : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

Shape broadcast(const Shape& a, const Shape& b) {
  std::array<int64_t, kMaxRank> dims{};
  const int rank = std::max(a.rank(), b.rank());
  for (int i = 1; i <= rank; ++i) {
    const int64_t x = i <= a.rank() ? a[-i] : 1;
    const int64_t y = i <= b.rank() ? b[-i] : 1;
    if (x != y && x != 1 && y != 1) {
      throw Error("shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast", "shape",
                  "sizes must be equal or 1, counted from the last dimension");
    }
    dims[static_cast<size_t>(rank - i)] = x == 1 ? y : x;
  }
  return Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(rank)));
}

}  // namespace mica
