#include "mica/tests/support/guarded_memory.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>

#include <execinfo.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mica/base/error.h"

namespace mica::test {
namespace {

constexpr int64_t kRegion = int64_t{1} << 36;  // of addresses; pages are taken when they are written
constexpr int64_t kPage = 4096;
constexpr int64_t kGrain = 64;
constexpr int kPoison = 0xff;

const GuardedMemory* guarded = nullptr;  // for the handler

int64_t round_up(int64_t bytes, int64_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

void say(const char* text) {
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) std::abort();
}

// Says what was wrong, and lets the access fail again with the signal's usual end.
void on_fault(int signal, siginfo_t* info, void*) {
  if (guarded->contains(info->si_addr)) {
    say("device memory was read on the host (or written), at:\n");
    void* frames[64];
    backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  }
  std::signal(signal, SIG_DFL);
}

}  // namespace

GuardedMemory& guarded_memory() {
  static auto* const memory = ::new GuardedMemory;
  return *memory;
}

GuardedMemory::GuardedMemory() {
  void* region = mmap(nullptr, kRegion, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw Error("no addresses for the guarded device", "mmap", "raise the limit (ulimit -v)");
  base_ = top_ = static_cast<char*>(region);
  guarded = this;
  void* first[1];
  backtrace(first, 1);  // loads what a handler may not
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, nullptr);
}

bool GuardedMemory::contains(const void* address) const {
  const auto* at = static_cast<const char*>(address);
  return at >= base_ && at < base_ + kRegion;
}

void GuardedMemory::protect(char* from, const char* to, bool open) const {
  if (from == to) return;
  if (mprotect(from, static_cast<size_t>(to - from), open ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) {
    throw Error("cannot change the guarded device's memory", "mprotect", "see errno " + std::to_string(errno));
  }
}

void GuardedMemory::enter() {
  const std::scoped_lock lock(mutex_);
  if (depth_++ == 0) protect(base_, top_, true);
}

void GuardedMemory::leave() {
  const std::scoped_lock lock(mutex_);
  if (--depth_ == 0) protect(base_, top_, false);
}

// The first unused block that is large enough, or new addresses.
void* GuardedMemory::allocate(int64_t bytes) {
  const int64_t size = round_up(std::max<int64_t>(bytes, 1), kGrain);
  char* data = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    for (auto it = unused_.begin(); it != unused_.end() && data == nullptr; ++it) {
      if (it->second < size) continue;
      data = it->first;
      const int64_t rest = it->second - size;
      unused_.erase(it);
      if (rest > 0) unused_.emplace(data + size, rest);
      break;
    }
    if (data == nullptr) {
      const int64_t grown = round_up(size, kPage);
      if (bytes < 0 || grown > base_ + kRegion - top_) {
        throw Error("out of memory: " + std::to_string(bytes) + " bytes wanted", "cuda:9", "use a smaller batch");
      }
      data = top_;
      top_ += grown;
      if (depth_ > 0) protect(data, top_, true);
      if (grown > size) unused_.emplace(data + size, grown - size);
    }
    used_.emplace(data, size);
  }
  const Open open(this);
  std::memset(data, kPoison, static_cast<size_t>(size));
  return data;
}

void GuardedMemory::free(void* data, int64_t) noexcept {
  const std::scoped_lock lock(mutex_);
  const auto found = used_.find(static_cast<char*>(data));
  if (found == used_.end()) {
    say("an address was freed that the guarded device never gave\n");
    std::abort();
  }
  const auto place = unused_.emplace(found->first, found->second).first;
  used_.erase(found);
  if (const auto next = std::next(place); next != unused_.end() && place->first + place->second == next->first) {
    place->second += next->second;
    unused_.erase(next);
  }
  if (place == unused_.begin()) return;
  const auto before = std::prev(place);
  if (before->first + before->second != place->first) return;
  before->second += place->second;
  unused_.erase(place);
}

bool GuardedMemory::live(const char* begin, const char* end) const {
  const std::scoped_lock lock(mutex_);
  auto after = used_.upper_bound(const_cast<char*>(begin));
  if (after == used_.begin()) return false;
  --after;
  return end <= after->first + after->second;
}

void GuardedMemory::check(const char* kernel, const void* data, int64_t bytes) const {
  const auto* begin = static_cast<const char*>(data);
  // Of no elements, the address may be the end of a block.
  const bool inside = bytes == 0 ? begin >= base_ && begin <= base_ + kRegion : contains(begin);
  if (!inside) {
    throw Error("an operand of kernel " + std::string(kernel) + " lies in the host's memory", "cuda:9",
                "move the tensor to the device first");
  }
  if (bytes > 0 && !live(begin, begin + bytes)) {
    throw Error("an operand of kernel " + std::string(kernel) + " reaches beyond its block, or into a freed one",
                "cuda:9", "keep the tensor alive, and views inside it");
  }
}

void GuardedMemory::copy_from_host(void* device_data, const void* host_data, int64_t bytes) {
  if (bytes == 0) return;
  ++from_host_;
  check("copy_from_host", device_data, bytes);
  if (contains(host_data)) throw Error("copy_from_host of a device's address", "cuda:9", "use copy");
  const Open open(this);
  std::memcpy(device_data, host_data, static_cast<size_t>(bytes));
}

void GuardedMemory::copy_to_host(void* host_data, const void* device_data, int64_t bytes) {
  if (bytes == 0) return;
  ++to_host_;
  check("copy_to_host", device_data, bytes);
  if (contains(host_data)) throw Error("copy_to_host to a device's address", "cuda:9", "use copy");
  const Open open(this);
  std::memcpy(host_data, device_data, static_cast<size_t>(bytes));
}

void GuardedMemory::copy(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  check("copy", to, bytes);
  check("copy", from, bytes);
  const Open open(this);
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

}  // namespace mica::test
