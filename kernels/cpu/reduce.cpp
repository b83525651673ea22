// Reductions over one dimension. Sums run in double over chunks of a fixed length, whose sums are added in order, so
// that the result is the same whether the chunks of a row share a thread or not.

#include "mica/kernels/reduce.h"

#include <cmath>
#include <numeric>
#include <type_traits>

#include "mica/base/error.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/pointwise.h"
#include "mica/kernels/cpu/simd/norm.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

constexpr int64_t kColumns = 64;  // of the inner dimension, reduced together

template <typename T>
using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;  // integers wrap

template <typename T>
bool is_nan(T x) {
  return x != x;
}

// NaN wins over everything; among equals the first stays.
template <typename T>
bool beats(T candidate, T best) {
  return candidate > best || (is_nan(candidate) && !is_nan(best));
}

template <typename T>
T pick(ReduceOp op, T best, T x) {
  if (op == ReduceOp::max) return beats(x, best) ? x : best;
  return x < best || is_nan(x) ? x : best;
}

template <typename T>
void reduce_columns(ReduceOp op, const T* x, int64_t size, int64_t inner, int64_t columns, T* y) {
  if (op == ReduceOp::max || op == ReduceOp::min) {
    std::copy_n(x, columns, y);
    for (int64_t i = 1; i < size; ++i) {
      for (int64_t c = 0; c < columns; ++c) y[c] = pick(op, y[c], x[i * inner + c]);
    }
    return;
  }
  Sum<T> sums[kColumns] = {};
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t c = 0; c < columns; ++c) sums[c] += static_cast<Sum<T>>(x[i * inner + c]);
  }
  for (int64_t c = 0; c < columns; ++c) {
    if (op == ReduceOp::mean) sums[c] /= static_cast<Sum<T>>(size);
    y[c] = static_cast<T>(sums[c]);
  }
}

// One row of a floating type, summed in chunks that threads may share.
template <typename T>
T sum_row(ReduceOp op, const T* x, int64_t size) {
  constexpr int64_t kChunk = 8192;
  const int64_t chunks = (size + kChunk - 1) / kChunk;
  double* sums = scratch<double>(Scratch::sums, chunks);
  parallel_for(chunks, 4, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const T* values = x + chunk * kChunk;
      sums[chunk] = sum_of(std::min(kChunk, size - chunk * kChunk), [&](int64_t i) { return values[i]; });
    }
  });
  const double total = sum_of(chunks, [&](int64_t chunk) { return sums[chunk]; });
  return static_cast<T>(op == ReduceOp::mean ? total / static_cast<double>(size) : total);
}

template <typename T>
void reduce(ReduceOp op, const View& x, const View& y) {
  const int64_t outer = x.size(0), size = x.size(1), inner = x.size(2);
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const bool rows = inner == 1 && std::is_floating_point_v<T> && (op == ReduceOp::sum || op == ReduceOp::mean);
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / blocks;
      const int64_t column = task % blocks * kColumns;
      const T* in = x.as<const T>() + row * size * inner + column;
      T* out = y.as<T>() + row * inner + column;
      if constexpr (std::is_floating_point_v<T>) {
        if (rows) {
          *out = sum_row(op, in, size);
          continue;
        }
      }
      reduce_columns(op, in, size, inner, std::min(kColumns, inner - column), out);
    }
  };
  if (outer * blocks < num_threads()) {
    run(0, outer * blocks);
  } else {
    parallel_for(outer * blocks, row_grain(size * std::min(inner, kColumns)), run);
  }
}

template <typename T>
void argmax(const View& x, const View& y) {
  const int64_t size = x.size(1), inner = x.size(2);
  parallel_for(x.size(0) * inner, row_grain(size), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const T* values = x.as<const T>() + task / inner * size * inner + task % inner;
      int64_t best = 0;
      for (int64_t i = 1; i < size; ++i) {
        if (beats(values[i * inner], values[best * inner])) best = i;
      }
      y.as<int64_t>()[task] = best;
    }
  });
}

template <typename T>
void softmax(const View& x, bool log, const View& y) {
  const int64_t size = x.size(-1);
  if (size == 0) return;
  parallel_for(x.numel() / size, row_grain(8 * size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* in = x.as<const T>() + row * size;
      T* out = y.as<T>() + row * size;
      const T largest = *std::max_element(in, in + size);
      if (log) {
        const double sum = sum_of(size, [&](int64_t i) { return std::exp(in[i] - largest); });
        const double shift = std::log(sum);
        for (int64_t i = 0; i < size; ++i) out[i] = static_cast<T>(static_cast<double>(in[i] - largest) - shift);
      } else {
        for (int64_t i = 0; i < size; ++i) out[i] = std::exp(in[i] - largest);
        const double sum = sum_of(size, [&](int64_t i) { return out[i]; });
        const auto factor = static_cast<T>(1 / sum);
        for (int64_t i = 0; i < size; ++i) out[i] *= factor;
      }
    }
  });
}

// softmax: dx = y (dy - sum(y dy));  log softmax: dx = dy - exp(y) sum(dy)
template <typename T>
void softmax_backward(const View& y, const View& dy, bool log, const View& dx) {
  const int64_t size = y.size(-1);
  if (size == 0) return;
  parallel_for(y.numel() / size, row_grain(4 * size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* p = y.as<const T>() + row * size;
      const T* g = dy.as<const T>() + row * size;
      T* out = dx.as<T>() + row * size;
      const auto sum = static_cast<T>(
          sum_of(size, [&](int64_t i) { return static_cast<double>(g[i]) * (log ? 1.0 : static_cast<double>(p[i])); }));
      for (int64_t i = 0; i < size; ++i) out[i] = log ? g[i] - std::exp(p[i]) * sum : p[i] * (g[i] - sum);
    }
  });
}

template <typename T>
void topk(const View& x, const View& values, const View& indices) {
  const int64_t size = x.size(1), k = values.size(1);
  parallel_for(x.size(0), row_grain(8 * size), [&](int64_t begin, int64_t end) {
    int64_t* order = scratch<int64_t>(Scratch::row, size);
    for (int64_t row = begin; row < end; ++row) {
      const T* in = x.as<const T>() + row * size;
      std::iota(order, order + size, int64_t{0});
      std::partial_sort(order, order + k, order + size,
                        [&](int64_t a, int64_t b) { return beats(in[a], in[b]) || (!beats(in[b], in[a]) && a < b); });
      for (int64_t i = 0; i < k; ++i) {
        values.as<T>()[row * k + i] = in[order[i]];
        indices.as<int64_t>()[row * k + i] = order[i];
      }
    }
  });
}

template <typename T>
void segment_columns(ReduceOp op, const View& x, const T* weights, int64_t first, int64_t last, int64_t column,
                     int64_t columns, T* y) {
  double sums[kColumns] = {};
  for (int64_t row = first; row < last; ++row) {
    const T* in = x.as<const T>() + row * x.stride(0) + column;
    for (int64_t c = 0; c < columns; ++c) {
      const auto value = static_cast<double>(weights != nullptr ? in[c] * weights[row] : in[c]);
      if (op != ReduceOp::max) {
        sums[c] += value;
      } else if (row == first || beats(value, sums[c])) {
        sums[c] = value;
      }
    }
  }
  const double factor = op == ReduceOp::mean && last > first ? static_cast<double>(last - first) : 1;
  for (int64_t c = 0; c < columns; ++c) y[c] = static_cast<T>(sums[c] / factor);
}

template <typename T>
void segment_reduce(ReduceOp op, const View& x, const Segments& segments, const View& weights, const View& y) {
  const int64_t size = x.size(1);
  const int64_t blocks = (size + kColumns - 1) / kColumns;
  const T* factors = parameter<T>(weights, Scratch::parameter_a);
  parallel_for(segments.count() * blocks, 4, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = segments.begin(task / blocks), last = first + segments.length(task / blocks);
      const int64_t column = task % blocks * kColumns;
      segment_columns(op, x, factors, first, last, column, std::min(kColumns, size - column),
                      y.as<T>() + task / blocks * size + column);
    }
  });
}

}  // namespace
}  // namespace cpu

using namespace cpu;

void CpuReduce::reduce(ReduceOp op, const View& x, const View& y) {
  if (op == ReduceOp::mean && !is_floating(x.dtype)) unsupported("reduce.mean", x.dtype, Device{});
  with_number("reduce.reduce", x.dtype, [&](auto tag) { cpu::reduce<decltype(tag)>(op, x, y); });
}

void CpuReduce::argmax(const View& x, const View& y) {
  with_number("reduce.argmax", x.dtype, [&](auto tag) { cpu::argmax<decltype(tag)>(x, y); });
}

void CpuReduce::softmax(const View& x, bool log, const View& y) {
  if (x.dtype == DType::float32 && x.numel() > 0)
    return simd::softmax(x.as<const float>(), y.as<float>(), x.numel() / x.size(-1), x.size(-1), log);
  with_floating("reduce.softmax", x.dtype, [&](auto tag) { cpu::softmax<decltype(tag)>(x, log, y); });
}

void CpuReduce::softmax_backward(const View& y, const View& dy, bool log, const View& dx) {
  if (y.dtype == DType::float32 && y.numel() > 0) {
    return simd::softmax_backward(y.as<const float>(), dy.as<const float>(), dx.as<float>(), y.numel() / y.size(-1),
                                  y.size(-1), log);
  }
  with_floating("reduce.softmax_backward", y.dtype,
                [&](auto tag) { cpu::softmax_backward<decltype(tag)>(y, dy, log, dx); });
}

void CpuReduce::topk(const View& x, const View& values, const View& indices) {
  with_floating("reduce.topk", x.dtype, [&](auto tag) { cpu::topk<decltype(tag)>(x, values, indices); });
}

void CpuReduce::segment_reduce(ReduceOp op, const View& x, const Segments& segments, const View& weights,
                               const View& y) {
  if (op == ReduceOp::min) {
    throw Error("kernel reduce.segment_reduce does not support the minimum", "cpu", "use sum, mean or max");
  }
  with_floating("reduce.segment_reduce", x.dtype,
                [&](auto tag) { cpu::segment_reduce<decltype(tag)>(op, x, segments, weights, y); });
}

}  // namespace mica
