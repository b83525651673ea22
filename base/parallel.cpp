// A pool of threads that meet cheaply and wait politely.
//
// The work of a call is cut into one share a thread; whoever is free takes the next one, the caller too. So a thread
// that the system has taken off its core holds nobody up but with the share that it is at: on a busy machine a call
// costs what the caller needs alone, where a fixed team would wait for its last member. Between calls a worker spins
// for some tens of microseconds, since kernels follow each other that closely, and then sleeps. (OpenMP's runtime
// offers neither: its team is fixed, and how long it spins is settled by the environment before a library has a say.)

#include "mica/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include "mica/base/error.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace mica {
namespace {

constexpr int kSpins = 3000;      // of a worker without work: 30 to 100 microseconds
constexpr int kJoinSpins = 1000;  // of a caller whose last share somebody else is at

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool inside = false;  // of a parallel_for

std::atomic<int>& thread_count() {
  static std::atomic<int> count{std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
  return count;
}

// One call, as its threads share it.
struct Job {
  detail::RangeFunction function = nullptr;
  void* context = nullptr;
  int64_t n = 0, grain = 1, pieces = 0, shares = 0;
};

class Pool {
 public:
  // Returns when all of the job is done; rethrows what a share threw. Only one caller at a time.
  void run(const Job& job) {
    grow(static_cast<int>(job.shares) - 1);
    job_ = job;
    failure_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    open_.store(true);  // a worker that sees it sees the job
    ticket_.fetch_add(1);
    ticket_.notify_all();
    take_shares();
    // A worker first counts itself in and then looks whether the job is open: one that this loop does not see counted
    // finds it closed.
    open_.store(false);
    for (int spin = 0; busy_.load() != 0; ++spin) {
      if (spin < kJoinSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
    if (failure_) std::rethrow_exception(failure_);
  }

  std::mutex& mutex() { return mutex_; }

 private:
  // Workers live as long as the process: there is no good moment to stop them in a library. A machine that gives no
  // more threads gets by with those there are.
  void grow(int wanted) {
    try {
      for (; workers_ < wanted; ++workers_) std::thread([this] { work(); }).detach();
    } catch (const std::system_error&) {
    }
  }

  void work() {
    inside = true;
    for (uint32_t seen = 0;;) {
      uint32_t ticket = ticket_.load();
      for (int spin = 0; ticket == seen && spin < kSpins; ++spin) {
        pause();
        ticket = ticket_.load();
      }
      if (ticket == seen) {
        ticket_.wait(seen);
        continue;
      }
      seen = ticket;
      busy_.fetch_add(1);
      if (open_.load()) take_shares();
      busy_.fetch_sub(1);
    }
  }

  void take_shares() {
    for (int64_t share = next_.fetch_add(1); share < job_.shares; share = next_.fetch_add(1)) {
      const int64_t begin = job_.pieces * share / job_.shares * job_.grain;
      const int64_t end = std::min(job_.n, job_.pieces * (share + 1) / job_.shares * job_.grain);
      if (begin >= end) continue;
      try {
        job_.function(job_.context, begin, end);
      } catch (...) {
        const std::lock_guard lock(failure_mutex_);
        failure_ = std::current_exception();
      }
    }
  }

  std::mutex mutex_, failure_mutex_;
  int workers_ = 0;
  Job job_;
  std::exception_ptr failure_;
  std::atomic<int64_t> next_{0};
  std::atomic<bool> open_{false};
  std::atomic<int> busy_{0};
  alignas(64) std::atomic<uint32_t> ticket_{0};
};

Pool& pool() {
  // Never destroyed: workers may still look at it while the process ends.
  static Pool* const instance = std::make_unique<Pool>().release();
  return *instance;
}

}  // namespace

int num_threads() {
  return thread_count();
}

void set_num_threads(int n) {
  if (n < 1 || n > 1024)
    throw Error("number of threads out of range: " + std::to_string(n), "threads", "use 1 to 1024");
  thread_count() = n;
}

void detail::parallel_for(int64_t n, int64_t grain, RangeFunction function, void* context) {
  if (n <= 0) return;
  Job job{.function = function, .context = context, .n = n, .grain = std::max<int64_t>(1, grain)};
  job.pieces = (n + job.grain - 1) / job.grain;
  job.shares = std::min<int64_t>(job.pieces, num_threads());
  // Serially inside another parallel_for, and while another thread of the program has the pool.
  std::unique_lock<std::mutex> lock;
  if (job.shares > 1 && !inside) lock = std::unique_lock(pool().mutex(), std::try_to_lock);
  if (!lock.owns_lock()) {
    function(context, 0, n);
    return;
  }
  inside = true;
  struct Leave {
    ~Leave() { inside = false; }
  } const leave;
  pool().run(job);
}

}  // namespace mica
