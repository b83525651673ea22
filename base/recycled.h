#pragma once
// Memory for small objects that come and go by the thousand, such as the handles of tensors: a freed block is kept by
// the thread that freed it, and the next of its size is that one again. A program in a steady state asks the system for
// none, and no two threads meet.

#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace mica {

/// At least `bytes`, aligned for any type; throws std::bad_alloc. Any thread may give it back, with the same number.
void* take_recycled(size_t bytes);
void give_recycled(void* data, size_t bytes) noexcept;

/// A standard allocator of such memory.
template <typename T>
struct Recycled {
  using value_type = T;
  Recycled() = default;
  template <typename U>
  Recycled(const Recycled<U>& /*other*/) {}  // NOLINT(google-explicit-constructor): what an allocator must convert from

  T* allocate(size_t count) {
    static_assert(alignof(T) <= alignof(std::max_align_t));
    if (count > std::numeric_limits<size_t>::max() / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(take_recycled(count * sizeof(T)));
  }
  void deallocate(T* data, size_t count) noexcept { give_recycled(data, count * sizeof(T)); }
  template <typename U>
  bool operator==(const Recycled<U>& /*other*/) const {
    return true;
  }
};

template <typename T>
using RecycledVector = std::vector<T, Recycled<T>>;

/// std::make_shared with such memory.
template <typename T, typename... Arguments>
std::shared_ptr<T> make_recycled(Arguments&&... arguments) {
  return std::allocate_shared<T>(Recycled<T>(), std::forward<Arguments>(arguments)...);
}

}  // namespace mica
