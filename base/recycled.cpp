#include "mica/base/recycled.h"

#include <array>
#include <bit>
#include <cstdint>

namespace mica {
namespace {

// Classes of 16, 32, ... 4096 bytes; what is larger is the system's.
constexpr size_t kSmallest = 16, kLargest = 4096, kClasses = 9;
constexpr uint32_t kMost = 4096;  // blocks of a class that a thread keeps

struct Block {
  Block* next;
};

// A list a class, so that keeping a block needs no memory.
struct FreeBlocks {
  std::array<Block*, kClasses> first{};
  std::array<uint32_t, kClasses> count{};
  bool* alive;

  explicit FreeBlocks(bool* flag) : alive(flag) {}
  FreeBlocks(const FreeBlocks&) = delete;
  FreeBlocks& operator=(const FreeBlocks&) = delete;
  ~FreeBlocks() {
    *alive = false;
    for (Block*& list : first) {
      while (list != nullptr) ::operator delete(std::exchange(list, list->next));
    }
  }
};

// Null once the thread's own are gone: what it frees at its very end goes straight to the system.
FreeBlocks* mine() {
#if defined(__SANITIZE_ADDRESS__)
  return nullptr;  // let the sanitizer see each object's bounds and end of life
#else
  thread_local bool alive = true;
  thread_local FreeBlocks blocks(&alive);
  return alive ? &blocks : nullptr;
#endif
}

size_t class_of(size_t bytes) {
  return bytes <= kSmallest ? 0 : static_cast<size_t>(std::bit_width((bytes - 1) / kSmallest));
}

}  // namespace

void* take_recycled(size_t bytes) {
  if (bytes > kLargest) return ::operator new(bytes);
  const size_t which = class_of(bytes);
  FreeBlocks* own = mine();
  if (own == nullptr || own->first[which] == nullptr) return ::operator new(kSmallest << which);
  --own->count[which];
  return std::exchange(own->first[which], own->first[which]->next);
}

void give_recycled(void* data, size_t bytes) noexcept {
  FreeBlocks* own = bytes > kLargest ? nullptr : mine();
  const size_t which = class_of(bytes);
  if (own == nullptr || own->count[which] == kMost) return ::operator delete(data);
  own->first[which] = ::new (data) Block{own->first[which]};
  ++own->count[which];
}

}  // namespace mica
