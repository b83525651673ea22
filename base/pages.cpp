#include "mica/base/pages.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <mutex>

#include <unistd.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace mica {
namespace {

constexpr size_t kMostKept = size_t{64} << 20;
constexpr size_t kMostBlocks = 64;  // looked through one by one

// Under the address sanitizer a kept block would hide what is read after it was freed.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kKeeps = false;
#else
constexpr bool kKeeps = true;
#endif

// The class of a size: at most an eighth above it.
size_t class_of(size_t bytes) {
  const size_t step = std::max<size_t>(4096, std::bit_floor(bytes) / 8);
  const size_t rounded = (bytes + step - 1) / step * step;
  return rounded < kHugePage ? rounded : (rounded + kHugePage - 1) / kHugePage * kHugePage;
}

void* new_block(size_t size) {
  void* data = size < kHugePage ? std::aligned_alloc(4096, size) : map_pages(size);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

void free_block(void* data, size_t size) noexcept {
  size < kHugePage ? std::free(data) : unmap_pages(data, size);
}

struct Kept {
  struct Block {
    void* data;
    size_t size;
  };
  std::mutex mutex;
  std::vector<Block> blocks;  // the last freed, and likeliest in a cache, at the end
  size_t bytes = 0;
};

Kept& kept() {
  // Never destroyed: vectors of other static objects may outlive it.
  static Kept* const instance = std::make_unique<Kept>().release();
  return *instance;
}

}  // namespace

void* map_pages(size_t bytes) {
#if defined(__linux__)
  // Map more than asked for and give the ends back: what stays is aligned.
  const size_t length = bytes + kHugePage;
  if (length < bytes) return nullptr;
  void* mapped = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  if (aligned > start) ::munmap(mapped, aligned - start);
  const size_t tail = start + length - (aligned + bytes);
  void* data = reinterpret_cast<void*>(aligned);
  if (tail > 0) ::munmap(static_cast<char*>(data) + bytes, tail);
  ::madvise(data, bytes, MADV_HUGEPAGE);  // advice only: where it is refused, pages stay small
  return data;
#else
  return std::aligned_alloc(kHugePage, bytes);
#endif
}

void unmap_pages(void* data, size_t bytes) noexcept {
#if defined(__linux__)
  ::munmap(data, bytes);
#else
  static_cast<void>(bytes);
  std::free(data);
#endif
}

void* take_block(size_t bytes) {
  const size_t size = class_of(bytes);
  {
    Kept& cache = kept();
    const std::lock_guard lock(cache.mutex);
    for (size_t i = cache.blocks.size(); i-- > 0;) {
      if (cache.blocks[i].size != size) continue;
      void* data = cache.blocks[i].data;
      cache.blocks.erase(cache.blocks.begin() + static_cast<std::ptrdiff_t>(i));
      cache.bytes -= size;
      return data;
    }
  }
  return new_block(size);
}

void give_block(void* data, size_t bytes) noexcept {
  const size_t size = class_of(bytes);
  if (kKeeps && size <= kMostKept) {
    Kept& cache = kept();
    const std::lock_guard lock(cache.mutex);
    // The oldest make room.
    while (!cache.blocks.empty() && (cache.bytes + size > kMostKept || cache.blocks.size() == kMostBlocks)) {
      free_block(cache.blocks.front().data, cache.blocks.front().size);
      cache.bytes -= cache.blocks.front().size;
      cache.blocks.erase(cache.blocks.begin());
    }
    if (cache.blocks.capacity() < kMostBlocks) {
      try {
        cache.blocks.reserve(kMostBlocks);
      } catch (const std::bad_alloc&) {
        return free_block(data, size);
      }
    }
    cache.blocks.push_back({data, size});
    cache.bytes += size;
    return;
  }
  free_block(data, size);
}

int64_t physical_memory() {
  const auto pages = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES));
  const auto size = static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
  return pages > 0 && size > 0 ? pages * size : INT64_MAX;
}

}  // namespace mica
