#pragma once
// A typed, strided window onto memory that somebody else owns: all that a kernel knows of its operands.

#include <array>
#include <cstdint>

#include "mica/kernels/dtype.h"

namespace mica {

constexpr int kMaxRank = 8;

struct View {
  void* data = nullptr;  ///< in the memory of the device that the kernel runs on
  DType dtype = DType::float32;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::array<int64_t, kMaxRank> strides{};  ///< in elements

  /// Optional operands are left out by passing an empty view.
  bool empty() const { return data == nullptr; }
  explicit operator bool() const { return data != nullptr; }

  int64_t size(int dim) const { return shape[static_cast<size_t>(dim < 0 ? dim + rank : dim)]; }
  int64_t stride(int dim) const { return strides[static_cast<size_t>(dim < 0 ? dim + rank : dim)]; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[static_cast<size_t>(i)];
    return n;
  }
  bool contiguous() const {
    int64_t expected = 1;
    for (int i = rank - 1; i >= 0; --i) {
      const auto k = static_cast<size_t>(i);
      if (shape[k] != 1 && strides[k] != expected) return false;
      expected *= shape[k];
    }
    return true;
  }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

}  // namespace mica
