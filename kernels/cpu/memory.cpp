// The CPU's memory: see CpuMemory. Fresh pages cost more than most kernels (the system clears them, one fault each 4
// KiB), so that blocks are reused, and large ones are mapped where the system can back them with huge pages. Free large
// blocks that touch become one, and one that is too large is cut: a step of training frees activations while it asks
// for gradients of other sizes, and must not need memory for both.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>

#include "mica/base/error.h"
#include "mica/base/pages.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace {

constexpr int64_t kAlignment = 64;
constexpr auto kHuge = static_cast<int64_t>(kHugePage);
constexpr int64_t kLarge = int64_t{256} << 10;  // blocks from here on come from huge pages
constexpr int64_t kGrain = int64_t{64} << 10;   // of large blocks: weights of 2.25 MiB must not take 4
constexpr int64_t kChunk = int64_t{32} << 20;   // mapped at once for large blocks up to half of it
constexpr int64_t kSlack = int64_t{64} << 20;   // of cached memory, allowed to a program of any size
constexpr int64_t kLargest = int64_t{1} << 39;  // of one block: far from overflow

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;  // let the sanitizer see each block's bounds and end of life
#else
constexpr bool kCaching = true;
#endif

int64_t round_up(int64_t bytes, int64_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

// The class of a size: at most an eighth above it once past the alignment's grain.
int64_t class_of(int64_t bytes) {
  if (!kCaching) return std::max<int64_t>(bytes, 1);
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(bytes, 1))));
  const int64_t rounded = round_up(std::max<int64_t>(bytes, 1), std::max(kAlignment, power / 8));
  return rounded < kHuge ? rounded : std::max(round_up(bytes, kGrain), kHuge);
}

bool is_large(int64_t block_bytes) {
  return kCaching && block_bytes >= kLarge;
}

void* system_allocate(int64_t bytes) {
  return std::aligned_alloc(kAlignment, static_cast<size_t>(round_up(bytes, kAlignment)));
}

void system_free(void* data, int64_t bytes) {
  is_large(bytes) ? unmap_pages(data, static_cast<size_t>(bytes)) : std::free(data);
}

[[noreturn]] void out_of_memory(int64_t bytes) {
  throw Error("out of memory: " + std::to_string(bytes) + " bytes wanted", "cpu",
              "use a smaller batch, shorter sequences or a smaller model");
}

struct FreeMemory {
  void operator()(void* data) const { std::free(data); }
};

struct ThreadBuffer {
  std::unique_ptr<void, FreeMemory> data;
  int64_t bytes = 0;
};

}  // namespace

void* CpuMemory::take_cached(int64_t bytes) {
  if (is_large(bytes)) return take_large(bytes);
  const auto found = small_.find(bytes);
  if (found == small_.end() || found->second.empty()) return nullptr;
  void* data = found->second.back();
  found->second.pop_back();
  return data;
}

// From the smallest range that is large enough; of several the last freed, the likeliest to be in a cache.
void* CpuMemory::take_large(int64_t bytes) {
  auto best = large_.end();
  for (auto it = large_.begin(); it != large_.end(); ++it) {
    const Range& range = it->second;
    if (range.bytes < bytes) continue;
    const bool better = best == large_.end() || range.bytes < best->second.bytes ||
                        (range.bytes == best->second.bytes && range.freed > best->second.freed);
    if (better) best = it;
  }
  if (best == large_.end()) return nullptr;
  // Cut from the end, so that the range keeps its place in the map and nothing can throw.
  best->second.bytes -= bytes;
  char* data = best->first + best->second.bytes;
  if (best->second.bytes == 0) large_.erase(best);
  return data;
}

// From pages that nobody has used yet. What a block leaves of its pages goes to whoever asks for that much.
void* CpuMemory::take_fresh(int64_t bytes) {
  const bool alone = bytes > kChunk / 2;
  if (alone || fresh_.bytes < bytes) {
    const int64_t mapped = alone ? round_up(bytes, kHuge) : kChunk;
    auto* pages = static_cast<char*>(map_pages(static_cast<size_t>(mapped)));
    if (pages == nullptr) return nullptr;
    if (alone) {
      add_range(pages + bytes, mapped - bytes);
      return pages;
    }
    add_range(fresh_.data, fresh_.bytes);
    fresh_ = {pages, mapped};
  }
  void* data = fresh_.data;
  fresh_.data += bytes;
  fresh_.bytes -= bytes;
  return data;
}

void CpuMemory::add_range(char* data, int64_t bytes) {
  if (bytes == 0) return;
  keep_large(data, bytes);
  cached_ += bytes;
}

void* CpuMemory::allocate(int64_t bytes) {
  if (bytes < 0 || bytes > kLargest) out_of_memory(bytes);
  const int64_t size = class_of(bytes);
  const std::scoped_lock lock(mutex_);
  void* data = take_cached(size);
  if (data != nullptr) {
    cached_ -= size;
  } else {
    const auto get = [&] { return is_large(size) ? take_fresh(size) : system_allocate(size); };
    data = get();
    if (data == nullptr) {
      release_all();
      data = get();
    }
    if (data == nullptr) out_of_memory(bytes);
  }
  used_ += size;
  peak_ = std::max(peak_, used_);
  most_ = std::max(most_, used_);
  return data;
}

// Gives the pages back that nobody has asked for longest, until it was so many bytes or none are left. Whole huge
// pages: the system keeps the memory of one that is gone in part.
void CpuMemory::release(int64_t bytes) {
  const auto first_page = [](char* data) {
    const auto address = static_cast<int64_t>(reinterpret_cast<intptr_t>(data));
    return data + (round_up(address, kHuge) - address);
  };
  const auto whole = [&](const char* from, char* data, int64_t size) {
    return std::max<int64_t>(data + size - from, 0) / kHuge * kHuge;
  };
  while (bytes > 0) {
    auto oldest = large_.end();
    for (auto it = large_.begin(); it != large_.end(); ++it) {
      if (whole(first_page(it->first), it->first, it->second.bytes) == 0) continue;
      if (oldest == large_.end() || it->second.freed < oldest->second.freed) oldest = it;
    }
    if (oldest == large_.end()) return;
    const auto [data, range] = *oldest;
    char* const pages = first_page(data);
    const int64_t all = whole(pages, data, range.bytes), part = std::min(all, round_up(bytes, kHuge));
    char* const given = pages + all - part;
    const int64_t before = given - data, behind = range.bytes - before - part;
    if (behind > 0) large_.emplace(given + part, Range{behind, range.freed});  // may throw, so first
    if (before > 0) {
      oldest->second.bytes = before;
    } else {
      large_.erase(oldest);
    }
    unmap_pages(given, static_cast<size_t>(part));
    cached_ -= part;
    bytes -= part;
  }
}

void CpuMemory::keep_large(char* data, int64_t bytes) {
  const auto [place, added] = large_.emplace(data, Range{bytes, ++clock_});
  if (const auto next = std::next(place); next != large_.end() && data + bytes == next->first) {
    place->second.bytes += next->second.bytes;
    large_.erase(next);
  }
  if (place == large_.begin()) return;
  const auto before = std::prev(place);
  if (before->first + before->second.bytes != data) return;
  before->second = {before->second.bytes + place->second.bytes, place->second.freed};
  large_.erase(place);
}

// Keeps a freed block, and used and cached memory together near the most that was ever in use at once: other free pages
// make room, or its own.
bool CpuMemory::keep(void* data, int64_t bytes) {
  if (!kCaching) return false;
  const int64_t bound = peak_ + peak_ / 16 + kSlack;
  const bool large = is_large(bytes);
  bool kept = false;
  try {
    release(used_ + cached_ + bytes - bound);
    if (!large && used_ + cached_ + bytes > bound) return false;
    if (large) {
      keep_large(static_cast<char*>(data), bytes);
    } else {
      small_[bytes].push_back(data);
    }
    kept = true;
    cached_ += bytes;
    if (large) release(used_ + cached_ - bound);
  } catch (const std::bad_alloc&) {  // no room to note what is free
    return kept;
  }
  return true;
}

void CpuMemory::free(void* data, int64_t bytes) noexcept {
  if (data == nullptr) return;
  const int64_t size = class_of(bytes);
  const std::scoped_lock lock(mutex_);
  used_ -= size;
  if (!keep(data, size)) system_free(data, size);
}

void CpuMemory::release_all() {
  for (const auto& [data, range] : large_) unmap_pages(data, static_cast<size_t>(range.bytes));
  large_.clear();
  if (fresh_.bytes > 0) unmap_pages(fresh_.data, static_cast<size_t>(fresh_.bytes));
  fresh_ = {};
  for (const auto& [bytes, blocks] : small_) {
    for (void* data : blocks) system_free(data, bytes);
  }
  small_.clear();
  cached_ = 0;
}

void CpuMemory::trim() {
  const std::scoped_lock lock(mutex_);
  release_all();
  peak_ = used_;
}

int64_t CpuMemory::used() const {
  const std::scoped_lock lock(mutex_);
  return used_;
}

int64_t CpuMemory::most_used() const {
  const std::scoped_lock lock(mutex_);
  return most_;
}

void CpuMemory::watch() {
  const std::scoped_lock lock(mutex_);
  most_ = used_;
}

int64_t CpuMemory::cached() const {
  const std::scoped_lock lock(mutex_);
  return cached_;
}

void CpuMemory::copy(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

void CpuMemory::copy_from_host(void* device_data, const void* host_data, int64_t bytes) {
  copy(device_data, host_data, bytes);
}

void CpuMemory::copy_to_host(void* host_data, const void* device_data, int64_t bytes) {
  copy(host_data, device_data, bytes);
}

void* cpu::scratch_bytes(Scratch use, int64_t bytes) {
  thread_local std::array<ThreadBuffer, static_cast<size_t>(Scratch::count)> buffers;
  ThreadBuffer& buffer = buffers[static_cast<size_t>(use)];
  if (bytes > buffer.bytes || !buffer.data) {
    if (bytes > kLargest) out_of_memory(bytes);
    const int64_t size = round_up(std::max<int64_t>(bytes + bytes / 4, 4096), kAlignment);
    buffer = {};
    buffer.data.reset(std::aligned_alloc(kAlignment, static_cast<size_t>(size)));
    if (!buffer.data) out_of_memory(bytes);
    buffer.bytes = size;
  }
  return buffer.data.get();
}

void* CpuQueue::workspace(int64_t bytes) {
  return cpu::scratch_bytes(cpu::Scratch::workspace, bytes);
}

}  // namespace mica
