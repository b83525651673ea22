#include "mica/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <string>

#include <omp.h>

#include "mica/base/error.h"

namespace mica {
namespace {

std::atomic<int>& thread_count() {
  static std::atomic<int> count{std::max(1, omp_get_num_procs())};
  return count;
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
  grain = std::max<int64_t>(1, grain);
  const int64_t pieces = (n + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<int64_t>(pieces, num_threads()));
  if (threads <= 1 || omp_in_parallel() != 0) {
    function(context, 0, n);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel num_threads(threads)
  {
    // The team may be smaller than asked for, so the shares are computed from its real size.
    const int64_t team = omp_get_num_threads();
    const int64_t rank = omp_get_thread_num();
    const int64_t begin = pieces * rank / team * grain;
    const int64_t end = std::min(n, pieces * (rank + 1) / team * grain);
    if (begin < end) {
      try {
        function(context, begin, end);
      } catch (...) {
#pragma omp critical
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace mica
