#include "mica/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <string>

#include <omp.h>

#include "mica/base/error.h"

// ThreadSanitizer does not see how libgomp hands work to its threads and waits for them, since libgomp is not
// instrumented. All parallel regions are in this file, so it can be told: what happened before `publish` on one thread
// is seen after `see` on another. Functions that hold a region are not instrumented themselves, since the compiler
// passes their variables to the threads in a way of its own.
#ifdef __SANITIZE_THREAD__
extern "C" {
void __tsan_acquire(void* address);  // NOLINT(bugprone-reserved-identifier): the sanitizer's names
void __tsan_release(void* address);  // NOLINT(bugprone-reserved-identifier)
}
#define MICA_HOLDS_A_REGION __attribute__((no_sanitize_thread))
#else
#define MICA_HOLDS_A_REGION
#endif

namespace mica {
namespace {

inline void publish([[maybe_unused]] void* where) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(where);
#endif
}

inline void see([[maybe_unused]] void* where) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(where);
#endif
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{std::max(1, omp_get_num_procs())};
  return count;
}

// One call of parallel_for, as its threads share it.
class Job {
 public:
  Job(int64_t n, int64_t grain, detail::RangeFunction function, void* context)
      : n_(n), grain_(grain), function_(function), context_(context) {}

  int64_t pieces() const { return (n_ + grain_ - 1) / grain_; }

  // The share of one thread of the team.
  void run_share(int64_t rank, int64_t team) {
    see(&start_);
    const int64_t begin = pieces() * rank / team * grain_;
    const int64_t end = std::min(n_, pieces() * (rank + 1) / team * grain_);
    if (begin < end) {
      try {
        function_(context_, begin, end);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
      }
    }
    publish(&end_);
  }

  void open() { publish(&start_); }
  void close() {
    see(&end_);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  int64_t n_, grain_;
  detail::RangeFunction function_;
  void* context_;
  char start_ = 0, end_ = 0;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

MICA_HOLDS_A_REGION void run_on_team(Job& job, int threads) {
#pragma omp parallel num_threads(threads)
  {
    // The team may be smaller than asked for, so the shares are computed from its real size.
    job.run_share(omp_get_thread_num(), omp_get_num_threads());
  }
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
  Job job(n, std::max<int64_t>(1, grain), function, context);
  const int threads = static_cast<int>(std::min<int64_t>(job.pieces(), num_threads()));
  if (threads <= 1 || omp_in_parallel() != 0) {
    function(context, 0, n);
    return;
  }
  job.open();
  run_on_team(job, threads);
  job.close();
}

}  // namespace mica
