#pragma once
// An array that is made once and then only read: in memory of its own, or a part of a file that is mapped.

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace mica {

/// Copies share the memory.
template <typename T>
class Table {
 public:
  Table() = default;
  template <typename Allocator>
  Table(std::vector<T, Allocator> values) {
    const auto own = std::make_shared<const std::vector<T, Allocator>>(std::move(values));
    data_ = own->data();
    size_ = own->size();
    keep_ = own;
  }
  /// A part of something that `keep` keeps.
  Table(std::span<const T> part, std::shared_ptr<const void> keep)
      : data_(part.data()), size_(part.size()), keep_(std::move(keep)) {}

  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const T& operator[](size_t i) const { return data_[i]; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }

 private:
  const T* data_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<const void> keep_;
};

}  // namespace mica
