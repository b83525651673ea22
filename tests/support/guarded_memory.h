#pragma once
// The memory of the guarded device: one region of addresses that is closed while nobody has it open.

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

#include "mica/kernels/backend.h"

namespace mica::test {

class GuardedMemory final : public Memory {
 public:
  GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  /// Fresh blocks hold bytes that read as NaN or -1.
  void* allocate(int64_t bytes) override;
  void free(void* data, int64_t bytes) noexcept override;
  void copy_from_host(void* device_data, const void* host_data, int64_t bytes) override;
  void copy_to_host(void* host_data, const void* device_data, int64_t bytes) override;
  void copy(void* to, const void* from, int64_t bytes) override;
  void trim() override {}

  /// While one is alive the region can be read and written, by every thread.
  class Open {
   public:
    explicit Open(GuardedMemory* memory) : memory_(memory) { memory_->enter(); }
    ~Open() { memory_->leave(); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    GuardedMemory* memory_;
  };

  /// Throws Error, naming the kernel, unless [data, data + bytes) lies in one live block.
  void check(const char* kernel, const void* data, int64_t bytes) const;
  bool contains(const void* address) const;

  int64_t copies_to_host() const { return to_host_; }
  int64_t copies_from_host() const { return from_host_; }

 private:
  void enter();
  void leave();
  void protect(char* from, const char* to, bool open) const;
  bool live(const char* begin, const char* end) const;

  mutable std::mutex mutex_;
  char* base_ = nullptr;
  char* top_ = nullptr;              // addresses from here on were never handed out
  int depth_ = 0;                    // how many have the region open
  std::map<char*, int64_t> used_;    // blocks, by address
  std::map<char*, int64_t> unused_;  // below top_, no two of which touch
  std::atomic<int64_t> to_host_ = 0, from_host_ = 0;
};

/// Never destroyed: tensors in static storage are freed after everything else.
GuardedMemory& guarded_memory();

}  // namespace mica::test
