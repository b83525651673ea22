#pragma once
// The one place where threads are started.

#include <cstdint>
#include <functional>
#include <type_traits>

namespace mica {

/// Threads that parallel_for may use; at first the number of cores this process may run on.
int num_threads();
/// Sets it for the process; throws Error unless 1 <= n <= 1024.
void set_num_threads(int n);

namespace detail {
using RangeFunction = void (*)(void* context, int64_t begin, int64_t end);
void parallel_for(int64_t n, int64_t grain, RangeFunction function, void* context);
}  // namespace detail

/// Calls body(begin, end) on pieces that cover [0, n), in parallel when there are at least two pieces of `grain`
/// elements. Every piece is a multiple of `grain` long, but for the last. The pieces differ with the number of threads:
/// a body must give each element the same result whatever piece it falls into. Inside a parallel_for it runs serially,
/// and so it does while another thread of the program is in one. An exception of a body reaches the caller.
template <typename Body>
void parallel_for(int64_t n, int64_t grain, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::parallel_for(
      n, grain, [](void* context, int64_t begin, int64_t end) { (*static_cast<Plain*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace mica
