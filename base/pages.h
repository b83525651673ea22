#pragma once
// Large blocks of memory: mapped for huge pages, and kept for the next who asks.
//
// A fresh page costs the kernel 0.1 to 0.6 us a kilobyte, more than most work done on it. The C library gives large
// blocks back as soon as they are freed; whoever makes results of megabytes over and over pays for their pages each
// time.

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace mica {

/// Blocks of at least this size are worth mapping on their own, in whole huge pages.
constexpr size_t kHugePage = size_t{2} << 20;

/// Maps `bytes` (a multiple of kHugePage), aligned to it; null when there is no memory.
void* map_pages(size_t bytes);
void unmap_pages(void* data, size_t bytes) noexcept;

/// A block of at least `bytes`, from those that were freed (the process keeps up to 64 MB of them) or new. Throws
/// std::bad_alloc. Safe from several threads.
void* take_block(size_t bytes);
/// Gives back a block that was taken with the same `bytes`.
void give_block(void* data, size_t bytes) noexcept;

/// For vectors that hold results of any size: large ones in blocks, small ones from the heap.
template <typename T>
struct BlockAllocator {
  using value_type = T;
  static constexpr size_t kLarge = 64 << 10;  // bytes

  BlockAllocator() = default;
  template <typename U>
  BlockAllocator(const BlockAllocator<U>& /*other*/) {}

  T* allocate(size_t n) {
    if (n > SIZE_MAX / 2 / sizeof(T)) throw std::bad_array_new_length();
    const size_t bytes = n * sizeof(T);
    return static_cast<T*>(bytes < kLarge ? ::operator new(bytes) : take_block(bytes));
  }
  void deallocate(T* data, size_t n) noexcept {
    const size_t bytes = n * sizeof(T);
    if (bytes < kLarge) return ::operator delete(data);
    give_block(data, bytes);
  }
  template <typename U>
  friend bool operator==(const BlockAllocator& /*a*/, const BlockAllocator<U>& /*b*/) {
    return true;
  }
};

template <typename T>
using BlockVector = std::vector<T, BlockAllocator<T>>;

/// Bytes of memory that this machine has.
int64_t physical_memory();

}  // namespace mica
