#pragma once
// Barriers that are objects in shared memory (mbarrier, sm_90): a phase ends when so many threads have arrived and all
// bytes that they announced have been copied; then the next begins. Who waits names the parity of the phase that must
// have ended: 0 for the first, then 1, 0 and so on. Waiting for parity 1 on a fresh barrier returns at once.

#include <cstdint>

#include "mica/kernels/cuda/device/thread.h"

namespace mica::cuda {

#ifdef MICA_EMULATED

class BarrierObject {
 public:
  /// One thread, before anybody uses it; others see it after barrier_objects_ready() and a barrier.
  void init(unsigned arrivals, Line line = Line::here()) {
    emulate::check_shared(this, sizeof(*this), 8, "barrier object", line);
    if (arrivals == 0 || arrivals > kMost) emulate::fault("a barrier object takes 1 to 2^20 - 1 arrivals", line);
    store({0, kMade, arrivals, arrivals, 0});
  }
  void arrive(Line line = Line::here()) { add(0, line); }
  /// Arrives, and the phase waits for so many bytes more.
  void arrive_expecting(unsigned bytes, Line line = Line::here()) { add(bytes, line); }
  void wait(unsigned parity, Line line = Line::here()) {
    static_cast<void>(load(line));
    emulate::wait_until([this, parity] { return peek().phase != (parity & 1); }, "the phase of a barrier object", line);
  }

  /// Of a copy that has landed.
  void complete(unsigned bytes) {
    State now = peek();
    now.bytes -= static_cast<int64_t>(bytes);
    store(turned(now));
  }
  void check(Line line) const { static_cast<void>(load(line)); }

 private:
  static constexpr unsigned kMost = (1U << 20) - 1, kMade = 1;  // fresh shared memory has 3 there
  struct State {
    uint64_t phase, made, expected, left;
    int64_t bytes;
  };
  // phase: bit 0, made: 1 and 2, expected: 3 to 22, left: 23 to 42, bytes: 43 to 63, signed.
  State peek() const {
    return {word_ & 1, word_ >> 1 & 3, word_ >> 3 & kMost, word_ >> 23 & kMost, static_cast<int64_t>(word_) >> 43};
  }
  void store(const State& s) {
    word_ = s.phase | s.made << 1 | s.expected << 3 | s.left << 23 | static_cast<uint64_t>(s.bytes) << 43;
  }
  State load(Line line) const {
    emulate::check_shared(this, sizeof(*this), 8, "barrier object", line);
    if (peek().made != kMade) emulate::fault("a barrier object is used that was not made ready", line);
    return peek();
  }
  static State turned(State s) {
    if (s.left == 0 && s.bytes == 0) s = {s.phase ^ 1, kMade, s.expected, s.expected, 0};
    return s;
  }
  void add(unsigned bytes, Line line) {
    State now = load(line);
    if (now.left == 0) emulate::fault("more threads arrive at a barrier object than it was made for", line);
    if (bytes > kMost) emulate::fault("a phase of a barrier object takes less than 2^20 bytes", line);
    now.bytes += bytes;
    --now.left;
    store(turned(now));
  }

  uint64_t word_;
};

/// By the thread that made barrier objects ready: the copying unit sees them from here on, others after a barrier.
inline void barrier_objects_ready() {}

#else

class BarrierObject {
 public:
  __device__ __forceinline__ void init(unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address()), "r"(arrivals) : "memory");
  }
  __device__ __forceinline__ void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address()) : "memory");
  }
  __device__ __forceinline__ void arrive_expecting(unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address()), "r"(bytes) : "memory");
  }
  __device__ __forceinline__ void wait(unsigned parity) {
    unsigned done;
    do {  // each try sleeps for a while
      asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                   : "=r"(done)
                   : "r"(address()), "r"(parity)
                   : "memory");
    } while (done == 0);
  }
  __device__ __forceinline__ unsigned address() const {
    return static_cast<unsigned>(__cvta_generic_to_shared(&word_));
  }

 private:
  uint64_t word_;
};

__device__ __forceinline__ void barrier_objects_ready() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

#endif

}  // namespace mica::cuda
