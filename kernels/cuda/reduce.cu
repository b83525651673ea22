// Reductions over one dimension, softmax among them.
//
// Bytes: x once (softmax twice, the second time from the cache while a row fits there), y once; the floor is the
// memory's. A row that lies in one piece (inner size 1) takes a block, its threads side by side; columns (inner size >
// 1) take a thread each, neighbours side by side. Long reductions are cut into parts of a fixed length, whose results
// are combined by a second launch in order: the order of a sum depends on its length alone. Sums run in float64 for
// floating types (a GPU adds 64-bit numbers at a fraction of its speed, which these few additions a byte leave idle on
// data-centre cards) and wrap for integers.

#include <cmath>
#include <limits>

#include "mica/base/error.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/best.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/reduce.h"

namespace mica::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kRowPart = 16384;   // elements of a row that a block reduces
constexpr int64_t kColumnPart = 512;  // elements of a column that a thread reduces

template <typename T>
using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;

// Two numbers joined: sums add, the others pick.
template <typename A>
struct Join {
  ReduceOp op;
  __device__ __forceinline__ A operator()(A a, A b) const {
    if (op == ReduceOp::max) return beats(b, a) ? b : a;
    if (op == ReduceOp::min) return b < a || is_nan(b) ? b : a;
    return a + b;
  }
};

template <typename A>
__device__ __forceinline__ A identity(ReduceOp op) {
  if (op == ReduceOp::sum || op == ReduceOp::mean) return A(0);
  if constexpr (std::is_integral_v<A>) {
    return op == ReduceOp::max ? std::numeric_limits<A>::min() : std::numeric_limits<A>::max();
  } else {
    return op == ReduceOp::max ? -static_cast<A>(INFINITY) : static_cast<A>(INFINITY);
  }
}

template <typename From, typename A>
__device__ __forceinline__ A loaded(From x) {
  return static_cast<A>(widen(x));
}

// From a sum or a pick to the result.
template <typename To, typename A>
__device__ __forceinline__ To finished(ReduceOp op, A value, int64_t size) {
  if (op == ReduceOp::mean) return narrow<To>(value / static_cast<A>(size));
  return narrow<To>(value);
}

// Row `block_x` of [outer, size], part `block_y` of it.
template <typename From, typename To, typename A>
__global__ void rows_kernel(ReduceOp op, const From* x, int64_t size, int64_t part_size, To* y, int64_t divide_by) {
  const int64_t first = block_y() * part_size, last = std::min(size, first + part_size);
  const From* row = x + int64_t{block_x()} * size;
  A value = identity<A>(op);
  const Join<A> join{op};
  for (int64_t i = first + thread_x(); i < last; i += threads_x()) value = join(value, loaded<From, A>(row[i]));
  value = combine_block(value, join, &shared_memory<A>());
  if (thread_x() == 0) {
    y[int64_t{block_x()} * blocks_y() + block_y()] =
        divide_by != 0 ? finished<To, A>(ReduceOp::mean, value, divide_by) : narrow<To>(value);
  }
}

// Column c of [outer, size, inner], part `block_y` of it, to y[outer, parts, inner].
template <typename From, typename To, typename A>
__global__ void columns_kernel(ReduceOp op, const From* x, int64_t columns, int64_t size, int64_t inner,
                               int64_t part_size, To* y, int64_t divide_by) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  const Join<A> join{op};
  for (int64_t c = int64_t{block_x()} * threads_x() + thread_x(); c < columns; c += step) {
    const int64_t outer = c / inner, column = c - outer * inner;
    const int64_t first = block_y() * part_size, last = std::min(size, first + part_size);
    const From* from = x + outer * size * inner + column;
    A value = identity<A>(op);
    for (int64_t i = first; i < last; ++i) value = join(value, loaded<From, A>(from[i * inner]));
    y[(outer * blocks_y() + block_y()) * inner + column] =
        divide_by != 0 ? finished<To, A>(ReduceOp::mean, value, divide_by) : narrow<To>(value);
  }
}

template <typename From, typename To, typename A>
void reduce_once(CudaDevice& on, ReduceOp op, const From* x, int64_t outer, int64_t size, int64_t inner,
                 int64_t part_size, To* y, int64_t divide_by) {
  const auto parts = static_cast<unsigned>(std::max<int64_t>(1, ceil_div(size, part_size)));
  if (inner == 1) {
    launch("reduce.reduce", on.stream, {{static_cast<unsigned>(outer), parts}, {kThreads}, 32 * sizeof(A)},
           rows_kernel<From, To, A>, op, x, size, part_size, y, divide_by);
    return;
  }
  LaunchShape shape = over(outer * inner, 128);
  shape.grid.y = parts;
  launch("reduce.reduce", on.stream, shape, columns_kernel<From, To, A>, op, x, outer * inner, size, inner, part_size,
         y, divide_by);
}

template <typename T>
void reduce(CudaDevice& on, ReduceOp op, const View& x, const View& y) {
  const bool sums = op == ReduceOp::sum || op == ReduceOp::mean;
  const int64_t outer = x.size(0), size = x.size(1), inner = x.size(2);
  if (outer * inner == 0) return;
  const auto run = [&]<typename A>(A /*accumulator*/) {
    // More than 65,535 parts have no grid; a longer part then holds the rest.
    const int64_t shortest = inner == 1 ? kRowPart : kColumnPart;
    const int64_t part_size = std::max(shortest, ceil_div(size, 65535));
    const int64_t parts = std::max<int64_t>(1, ceil_div(size, part_size));
    const int64_t divide_by = op == ReduceOp::mean ? size : 0;
    if (parts == 1) {
      reduce_once<T, T, A>(on, op, x.as<const T>(), outer, size, inner, part_size, y.as<T>(), divide_by);
      return;
    }
    auto* partial = static_cast<A*>(on.queue.workspace(outer * parts * inner * static_cast<int64_t>(sizeof(A))));
    reduce_once<T, A, A>(on, op, x.as<const T>(), outer, size, inner, part_size, partial, 0);
    reduce_once<A, T, A>(on, op, partial, outer, parts, inner, parts, y.as<T>(), divide_by);
  };
  if (sums) {
    run(Sum<T>{});
  } else {
    run(Computed<T>{});
  }
}

// ---- argmax ---------------------------------------------------------------------------------------------------------

template <typename C>
__device__ Best<C> best_of_block(Best<C> mine, Best<C>* scratch) {
  mine = best_of_warp(mine);
  if (lane_index() == 0) scratch[warp_index()] = mine;
  block_barrier();
  mine = scratch[0];
  for (unsigned w = 1; w < threads_x() / kWarp; ++w) {
    if (comes_first(scratch[w], mine)) mine = scratch[w];
  }
  block_barrier();
  return mine;
}

// Block x: one result of [outer, inner].
template <typename T>
__global__ void argmax_kernel(const T* x, int64_t size, int64_t inner, int64_t* y) {
  using C = Computed<T>;
  const int64_t task = block_x();
  const T* values = x + task / inner * size * inner + task % inner;
  Best<C> best{C(0), -1};
  for (int64_t i = thread_x(); i < size; i += threads_x()) {
    const Best<C> candidate{widen(values[i * inner]), i};
    if (comes_first(candidate, best)) best = candidate;
  }
  best = best_of_block(best, &shared_memory<Best<C>>());
  if (thread_x() == 0) y[task] = best.index;
}

// The k largest of a row, one after the other: each pass finds the best of those that come after the last one found.
// k passes over a row that stays in the cache; for the k of sampling (tens) below the cost of a sort.
template <typename T>
__global__ void topk_kernel(const T* x, int64_t size, int64_t k, T* values, int64_t* indices) {
  using C = Computed<T>;
  const T* row = x + int64_t{block_x()} * size;
  auto* scratch = &shared_memory<Best<C>>();
  Best<C> last{C(0), -1};
  for (int64_t n = 0; n < k; ++n) {
    Best<C> best{C(0), -1};
    for (int64_t i = thread_x(); i < size; i += threads_x()) {
      const Best<C> candidate{widen(row[i]), i};
      if ((last.index < 0 || comes_first(last, candidate)) && i != last.index && comes_first(candidate, best)) {
        best = candidate;
      }
    }
    last = best_of_block(best, scratch);
    if (thread_x() == 0) {
      values[int64_t{block_x()} * k + n] = row[last.index];
      indices[int64_t{block_x()} * k + n] = last.index;
    }
  }
}

// ---- softmax --------------------------------------------------------------------------------------------------------

// Rows of a warp each (several a block, side by side in y), or of a block each.
LaunchShape softmax_shape(int64_t rows, int64_t size) {
  if (size <= 1024) return {{static_cast<unsigned>(ceil_div(rows, 4))}, {kWarp, 4}, 32 * sizeof(double)};
  return {{static_cast<unsigned>(rows)}, {kThreads}, 32 * sizeof(double)};
}
template <typename C, typename Op>
__device__ __forceinline__ C combine_row(C value, Op op) {
  if (threads_y() > 1) return combine_lanes(value, op);
  return combine_block(value, op, &shared_memory<C>());
}

// y may be x: a thread reads and writes its own elements.
template <typename T>
__global__ void softmax_kernel(const T* x, int64_t rows, int64_t size, bool log, T* y) {
  using C = Computed<T>;
  const int64_t row = int64_t{block_x()} * threads_y() + thread_y();
  if (row >= rows) return;  // whole warps
  const T* in = x + row * size;
  T* out = y + row * size;
  C largest = minus_infinity<C>();
  for (int64_t i = thread_x(); i < size; i += threads_x()) largest = Largest{}(widen(in[i]), largest);
  largest = combine_row(largest, Largest{});
  C sum = 0;
  for (int64_t i = thread_x(); i < size; i += threads_x()) sum += std::exp(widen(in[i]) - largest);
  sum = combine_row(sum, Add{});
  const C shift = std::log(sum), factor = C(1) / sum;
  for (int64_t i = thread_x(); i < size; i += threads_x()) {
    const C value = widen(in[i]) - largest;
    out[i] = narrow<T>(log ? value - shift : std::exp(value) * factor);
  }
}

// softmax: dx = y (dy - sum(y dy));  log softmax: dx = dy - exp(y) sum(dy)
template <typename T>
__global__ void softmax_backward_kernel(const T* y, const T* dy, int64_t rows, int64_t size, bool log, T* dx) {
  using C = Computed<T>;
  const int64_t row = int64_t{block_x()} * threads_y() + thread_y();
  if (row >= rows) return;
  C sum = 0;
  for (int64_t i = thread_x(); i < size; i += threads_x()) {
    const C g = widen(dy[row * size + i]);
    sum += log ? g : g * widen(y[row * size + i]);
  }
  sum = combine_row(sum, Add{});
  for (int64_t i = thread_x(); i < size; i += threads_x()) {
    const C g = widen(dy[row * size + i]), p = widen(y[row * size + i]);
    dx[row * size + i] = narrow<T>(log ? g - std::exp(p) * sum : p * (g - sum));
  }
}

// ---- segments -------------------------------------------------------------------------------------------------------

// Block (columns, segment): the segment's rows one after the other, a thread a column.
template <typename T>
__global__ void segment_kernel(ReduceOp op, const T* x, int64_t x_stride, int64_t size, const int32_t* begins,
                               const int32_t* lengths, const T* weights, T* y) {
  using C = Computed<T>;
  const int64_t column = int64_t{block_x()} * threads_x() + thread_x(), segment = block_y();
  if (column >= size) return;
  const int64_t first = begins[segment];
  const int64_t last = lengths != nullptr ? first + lengths[segment] : begins[segment + 1];
  double sum = 0;
  for (int64_t row = first; row < last; ++row) {
    const C in = widen(x[row * x_stride + column]);
    const auto value = static_cast<double>(weights != nullptr ? in * widen(weights[row]) : in);
    if (op != ReduceOp::max) {
      sum += value;
    } else if (row == first || beats(value, sum)) {
      sum = value;
    }
  }
  if (op == ReduceOp::mean && last > first) sum /= static_cast<double>(last - first);
  y[segment * size + column] = narrow<T>(sum);
}

}  // namespace

void CudaReduce::reduce(ReduceOp op, const View& x, const View& y) {
  if (op == ReduceOp::mean && !is_floating(x.dtype)) unsupported("reduce.mean", x.dtype, device_.device());
  with_number("reduce.reduce", x.dtype, device_.device(),
              [&](auto zero) { cuda::reduce<decltype(zero)>(device_, op, x, y); });
}

void CudaReduce::argmax(const View& x, const View& y) {
  with_number("reduce.argmax", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t tasks = x.size(0) * x.size(2);
    launch("reduce.argmax", device_.stream,
           {{static_cast<unsigned>(tasks)}, {kThreads}, 32 * sizeof(Best<Computed<T>>)}, argmax_kernel<T>,
           x.as<const T>(), x.size(1), x.size(2), y.as<int64_t>());
  });
}

void CudaReduce::softmax(const View& x, bool log, const View& y) {
  if (x.numel() == 0) return;
  with_floating("reduce.softmax", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t size = x.size(-1), rows = x.numel() / size;
    launch("reduce.softmax", device_.stream, softmax_shape(rows, size), softmax_kernel<T>, x.as<const T>(), rows, size,
           log, y.as<T>());
  });
}

void CudaReduce::softmax_backward(const View& y, const View& dy, bool log, const View& dx) {
  if (y.numel() == 0) return;
  with_floating("reduce.softmax_backward", y.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t size = y.size(-1), rows = y.numel() / size;
    launch("reduce.softmax_backward", device_.stream, softmax_shape(rows, size), softmax_backward_kernel<T>,
           y.as<const T>(), dy.as<const T>(), rows, size, log, dx.as<T>());
  });
}

void CudaReduce::topk(const View& x, const View& values, const View& indices) {
  if (values.numel() == 0) return;
  with_floating("reduce.topk", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    launch("reduce.topk", device_.stream,
           {{static_cast<unsigned>(x.size(0))}, {kThreads}, 32 * sizeof(Best<Computed<T>>)}, topk_kernel<T>,
           x.as<const T>(), x.size(1), values.size(1), values.as<T>(), indices.as<int64_t>());
  });
}

void CudaReduce::segment_reduce(ReduceOp op, const View& x, const Segments& segments, const View& weights,
                                const View& y) {
  if (op == ReduceOp::min) {
    throw Error("kernel reduce.segment_reduce does not support the minimum", to_string(device_.device()),
                "use sum, mean or max");
  }
  const int64_t count = segments.count(), size = x.size(1);
  if (count == 0 || size == 0) return;
  with_floating("reduce.segment_reduce", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    if (weights && weights.dtype != x.dtype) unsupported("reduce.segment_reduce", weights.dtype, device_.device());
    const auto columns = static_cast<unsigned>(ceil_div(size, 128));
    for (int64_t first = 0; first < count; first += 65535) {
      const int64_t here = std::min<int64_t>(65535, count - first);
      launch("reduce.segment_reduce", device_.stream, {{columns, static_cast<unsigned>(here)}, {128}},
             segment_kernel<T>, op, x.as<const T>(), x.stride(0), size, segments.device + first,
             segments.device_lengths != nullptr ? segments.device_lengths + first : nullptr, weights.as<const T>(),
             y.as<T>() + first * size);
    }
  });
}

}  // namespace mica::cuda
