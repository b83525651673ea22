#include "mica/kernels/cuda/emulate/arena.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include "mica/base/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace mica::cuda::emulate {
namespace {

constexpr int64_t kAlignment = 256, kBehind = 256;
constexpr int64_t kHugePage = int64_t{2} << 20;

int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

class Arena {
 public:
  Arena()
      : total_([] {
          const char* text = std::getenv("MICA_EMULATE_BYTES");
          const long long given = text != nullptr ? std::atoll(text) : 0;
          return given > 0 ? round_up(given, kHugePage) : int64_t{4} << 30;
        }()),
        base_(map_region(total_)) {
    poison(base_, total_);
    madvise(base_, static_cast<size_t>(total_), MADV_HUGEPAGE);
    mprotect(base_, static_cast<size_t>(total_), PROT_NONE);
  }

  void open() {
    const std::scoped_lock lock(mutex_);
    if (opened_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    const std::scoped_lock lock(mutex_);
    if (--opened_ == 0) protect(PROT_NONE);
  }

  void* allocate(int64_t bytes) {
    const int64_t span = round_up(std::max<int64_t>(bytes, 1), kAlignment) + kBehind;
    const std::scoped_lock lock(mutex_);
    std::byte* data = nullptr;
    auto& spare = free_[span];
    if (!spare.empty()) {
      data = spare.back();
      spare.pop_back();
    } else {
      if (bytes > total_ || end_ + span > total_) return nullptr;
      data = base_ + end_;
      end_ += span;
      if (opened_ > 0) protect(PROT_READ | PROT_WRITE);
    }
    pieces_[data] = {bytes, span};
    used_ += span;
    with_access([&] {
      unpoison(data, span);
      std::memset(data, 0xff, static_cast<size_t>(span));
      poison(data + bytes, span - bytes);
    });
    return data;
  }

  void release(void* pointer) {
    const std::scoped_lock lock(mutex_);
    auto* data = static_cast<std::byte*>(pointer);
    const auto found = pieces_.find(data);
    if (found == pieces_.end()) {
      fault_ = "memory that was not allocated is freed";
      return;
    }
    const Piece piece = found->second;
    pieces_.erase(found);
    used_ -= piece.span;
    bool whole = true;
    with_access([&] {
      unpoison(data, piece.span);
      whole = std::all_of(data + piece.bytes, data + piece.span, [](std::byte b) { return b == std::byte{0xff}; });
      poison(data, piece.span);
    });
    free_[piece.span].push_back(data);
    if (!whole) fault_ = "a kernel wrote behind the end of " + std::to_string(piece.bytes) + " bytes";
  }

  void check() {
    const std::scoped_lock lock(mutex_);
    if (fault_.empty()) return;
    throw Error(std::exchange(fault_, {}), "emulated device", "run under the address sanitizer, which names the line");
  }

  bool owns(const void* address, int64_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto* at = static_cast<const std::byte*>(address);
    auto after = pieces_.upper_bound(const_cast<std::byte*>(at));
    if (after == pieces_.begin()) return false;
    --after;
    return at + bytes <= after->first + after->second.bytes;
  }

  bool contains(const void* address) const {
    const auto* at = static_cast<const std::byte*>(address);
    return at >= base_ && at < base_ + total_;
  }
  int64_t total() const { return total_; }
  int64_t used() {
    const std::scoped_lock lock(mutex_);
    return used_;
  }

 private:
  struct Piece {
    int64_t bytes, span;
  };
  template <typename Body>
  void with_access(const Body& body) {
    if (opened_ == 0) protect(PROT_READ | PROT_WRITE);
    body();
    if (opened_ == 0) protect(PROT_NONE);
  }
  // The region up to the end of what was ever handed out: by huge pages, since each page of it is changed twice a
  // launch.
  void protect(int access) const {
    if (end_ > 0) mprotect(base_, static_cast<size_t>(round_up(end_, kHugePage)), access);
  }

  int64_t total_;
  std::byte* base_;
  std::mutex mutex_;
  int opened_ = 0;
  int64_t end_ = 0, used_ = 0;
  std::string fault_;
  std::map<std::byte*, Piece> pieces_;
  std::map<int64_t, std::vector<std::byte*>> free_;  // by span
};

// Never destroyed: tensors in static storage outlive every order of destruction.
Arena& arena() {
  static Arena& instance = *new Arena;  // NOLINT(cppcoreguidelines-owning-memory)
  return instance;
}

}  // namespace

std::byte* map_region(int64_t bytes) {
  void* data = mmap(nullptr, static_cast<size_t>(bytes + kHugePage), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    throw Error("no address space for " + std::to_string(bytes) + " bytes", "emulated device",
                "set MICA_EMULATE_BYTES");
  }
  auto* start = static_cast<std::byte*>(data);
  return start + round_up(reinterpret_cast<intptr_t>(data), kHugePage) - reinterpret_cast<intptr_t>(data);
}

#if defined(__SANITIZE_ADDRESS__)
void poison(void* data, int64_t bytes) {
  __asan_poison_memory_region(data, static_cast<size_t>(bytes));
}
void unpoison(void* data, int64_t bytes) {
  __asan_unpoison_memory_region(data, static_cast<size_t>(bytes));
}
#else
void poison(void* /*data*/, int64_t /*bytes*/) {}
void unpoison(void* /*data*/, int64_t /*bytes*/) {}
#endif

void* arena_allocate(int64_t bytes) {
  return arena().allocate(bytes);
}
void arena_free(void* data) noexcept {
  arena().release(data);
}
void check_arena() {
  arena().check();
}
bool inside_allocation(const void* address, int64_t bytes) {
  return arena().owns(address, bytes);
}
bool inside_arena(const void* address) {
  return arena().contains(address);
}
int64_t arena_total() {
  return arena().total();
}
int64_t arena_used() {
  return arena().used();
}

OpenArena::OpenArena() {
  arena().open();
}
OpenArena::~OpenArena() {
  arena().close();
}

}  // namespace mica::cuda::emulate
