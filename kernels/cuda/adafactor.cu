// Adafactor (the formulas stand in kernels/optimizer.h).
//
// Its update needs sums over whole tensors before the first element may move, so that it goes over the gradient three
// times and over the parameter twice: 24 bytes a parameter in float32, with next to no state. One tensor after the
// other; every sum has partial results of fixed pieces, added in order.
//   1. r: a block a row. Column sums: a thread a column and part of the rows. Without factors: v.
//   2. c and 1 / sqrt(c); the mean of r of each matrix.
//   3. squares of p and of the update, a piece a block; one block turns their sums into the size of the step.
//   4. p (and m).

#include <cmath>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/optimizer.h"

namespace mica::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kChunk = 8192;     // elements of a piece
constexpr int64_t kRowsOfPart = 64;  // of the rows whose column sums one thread makes

template <typename T>
struct Adafactor {
  T* p;
  const T* g;
  T *m, *row, *column, *variance;
  int64_t n, matrices, rows, columns;
  T beta1, beta1_rest, beta2, beta2_rest, eps, scale;
  double lr, eps_scale, clip_threshold, weight_decay;
  bool scale_parameter;
  // Scratch.
  T* column_sums;    // [matrices, parts, columns]
  T* inverse;        // 1 / sqrt(c) [matrices, columns]
  double* row_mean;  // [matrices]
  double* squares;   // of p, then of the update, a number a piece
  double* settled;   // decay, factor
  int64_t parts, pieces;

  // g / sqrt of the second moment, before it is clipped.
  __device__ __forceinline__ T update(int64_t i) const {
    const T gradient = g[i] * scale;
    if (row == nullptr) return gradient / std::sqrt(variance[i]);
    const int64_t r = i / columns, matrix = r / rows, c = i - r * columns;
    const T factor = static_cast<T>(std::sqrt(row_mean[matrix] / static_cast<double>(row[r])));
    return gradient * inverse[matrix * columns + c] * factor;
  }
};

template <typename T>
__global__ void row_kernel(Adafactor<T> a) {
  const int64_t r = block_x();
  double sum = 0;
  for (int64_t c = thread_x(); c < a.columns; c += threads_x()) {
    const T gradient = a.g[r * a.columns + c] * a.scale;
    sum += static_cast<double>(gradient * gradient);
  }
  sum = combine_block(sum, Add{}, &shared_memory<double>());
  if (thread_x() != 0) return;
  a.row[r] = a.beta2 * a.row[r] + a.beta2_rest * (static_cast<T>(sum / static_cast<double>(a.columns)) + a.eps);
}

template <typename T>
__global__ void column_parts_kernel(Adafactor<T> a) {
  const int64_t c = int64_t{block_x()} * threads_x() + thread_x(), part = block_y() % a.parts,
                matrix = block_y() / a.parts;
  if (c >= a.columns) return;
  T sum = 0;
  for (int64_t r = part * kRowsOfPart; r < std::min(a.rows, (part + 1) * kRowsOfPart); ++r) {
    const T gradient = a.g[(matrix * a.rows + r) * a.columns + c] * a.scale;
    sum += gradient * gradient;
  }
  a.column_sums[(matrix * a.parts + part) * a.columns + c] = sum;
}

template <typename T>
__global__ void column_kernel(Adafactor<T> a) {
  const int64_t i = int64_t{block_x()} * threads_x() + thread_x();
  if (i >= a.matrices * a.columns) return;
  const int64_t matrix = i / a.columns, c = i - matrix * a.columns;
  T sum = 0;
  for (int64_t part = 0; part < a.parts; ++part) sum += a.column_sums[(matrix * a.parts + part) * a.columns + c];
  const T moment = a.beta2 * a.column[i] + a.beta2_rest * (sum / static_cast<T>(a.rows) + a.eps);
  a.column[i] = moment;
  a.inverse[i] = T(1) / std::sqrt(moment);
}

template <typename T>
__global__ void row_mean_kernel(Adafactor<T> a) {
  const int64_t matrix = block_x();
  double sum = 0;
  for (int64_t r = thread_x(); r < a.rows; r += threads_x()) sum += static_cast<double>(a.row[matrix * a.rows + r]);
  sum = combine_block(sum, Add{}, &shared_memory<double>());
  if (thread_x() == 0) a.row_mean[matrix] = sum / static_cast<double>(a.rows);
}

template <typename T>
__global__ void moment_kernel(Adafactor<T> a) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < a.n; i += step) {
    const T gradient = a.g[i] * a.scale;
    a.variance[i] = a.beta2 * a.variance[i] + a.beta2_rest * (gradient * gradient + a.eps);
  }
}

template <typename T>
__global__ void squares_kernel(Adafactor<T> a) {
  double parameter = 0, update = 0;
  const int64_t first = block_x() * kChunk, last = std::min(a.n, first + kChunk);
  for (int64_t i = first + thread_x(); i < last; i += threads_x()) {
    const auto p = static_cast<double>(a.p[i]), u = static_cast<double>(a.update(i));
    parameter += p * p;
    update += u * u;
  }
  auto* scratch = &shared_memory<double>();
  parameter = combine_block(parameter, Add{}, scratch);
  update = combine_block(update, Add{}, scratch);
  if (thread_x() != 0) return;
  a.squares[block_x()] = parameter;
  a.squares[a.pieces + block_x()] = update;
}

template <typename T>
__global__ void settle_kernel(Adafactor<T> a) {
  double parameter = 0, update = 0;
  for (int64_t i = thread_x(); i < a.pieces; i += threads_x()) {
    parameter += a.squares[i];
    update += a.squares[a.pieces + i];
  }
  auto* scratch = &shared_memory<double>();
  parameter = combine_block(parameter, Add{}, scratch);
  update = combine_block(update, Add{}, scratch);
  if (thread_x() != 0) return;
  const auto n = static_cast<double>(a.n);
  const double rms = std::sqrt(update / n), size = std::sqrt(parameter / n);
  const double rate = a.lr * (a.scale_parameter ? (size > a.eps_scale ? size : a.eps_scale) : 1.0);
  const double over = rms / a.clip_threshold;
  a.settled[0] = 1 - a.weight_decay * rate;
  a.settled[1] = rate / (over > 1 ? over : 1.0);
}

template <typename T>
__global__ void descend_kernel(Adafactor<T> a) {
  const auto decay = static_cast<T>(a.settled[0]), factor = static_cast<T>(a.settled[1]);
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < a.n; i += step) {
    T u = a.update(i) * factor;
    if (a.m != nullptr) {
      u = a.beta1 * a.m[i] + a.beta1_rest * u;
      a.m[i] = u;
    }
    a.p[i] = a.p[i] * decay - u;
  }
}

template <typename T>
void step(CudaDevice& on, const AdafactorItem& item, double gradient_scale) {
  const auto type = [](double value) { return static_cast<T>(value); };
  Adafactor<T> a{};
  a.p = item.parameter.as<T>();
  a.g = item.gradient.as<const T>();
  a.m = item.mean.as<T>();
  a.row = item.row.as<T>();
  a.column = item.column.as<T>();
  a.variance = item.variance.as<T>();
  a.n = item.parameter.numel();
  if (a.n == 0) return;
  const bool factored = static_cast<bool>(item.row);
  a.rows = factored ? item.parameter.size(-2) : 1;
  a.columns = factored ? item.parameter.size(-1) : a.n;
  a.matrices = a.n / (a.rows * a.columns);
  a.beta1 = type(item.beta1);
  a.beta1_rest = type(1 - item.beta1);
  a.beta2 = type(item.beta2);
  a.beta2_rest = type(1 - item.beta2);
  a.eps = type(item.eps);
  a.scale = type(gradient_scale);
  a.lr = item.lr;
  a.eps_scale = item.eps_scale;
  a.clip_threshold = item.clip_threshold;
  a.weight_decay = item.weight_decay;
  a.scale_parameter = item.scale_parameter;
  a.parts = factored ? ceil_div(a.rows, kRowsOfPart) : 0;
  a.pieces = ceil_div(a.n, kChunk);

  int64_t bytes = 0;
  const auto take = [&bytes](int64_t count, int64_t size) {
    const int64_t at = bytes;
    bytes += round_up(count * size, 64);
    return at;
  };
  const auto item_bytes = static_cast<int64_t>(sizeof(T));
  const int64_t settled = take(2, 8), squares = take(2 * a.pieces, 8), row_mean = take(a.matrices, 8),
                inverse = take(factored ? a.matrices * a.columns : 0, item_bytes),
                sums = take(a.matrices * a.parts * a.columns, item_bytes);
  auto* scratch = static_cast<char*>(on.queue.workspace(bytes));
  a.settled = reinterpret_cast<double*>(scratch + settled);
  a.squares = reinterpret_cast<double*>(scratch + squares);
  a.row_mean = reinterpret_cast<double*>(scratch + row_mean);
  a.inverse = reinterpret_cast<T*>(scratch + inverse);
  a.column_sums = reinterpret_cast<T*>(scratch + sums);

  const char* name = "optimizer.adafactor";
  const LaunchShape one_block{{1}, {kThreads}, 32 * sizeof(double)};
  const auto blocks = [](int64_t n) { return static_cast<unsigned>(n); };
  if (factored) {
    launch(name, on.stream, {{blocks(a.matrices * a.rows)}, {kThreads}, 32 * sizeof(double)}, row_kernel<T>, a);
    launch(name, on.stream, {{blocks(ceil_div(a.columns, 128)), blocks(a.matrices * a.parts)}, {128}},
           column_parts_kernel<T>, a);
    launch(name, on.stream, over(a.matrices * a.columns), column_kernel<T>, a);
    launch(name, on.stream, {{blocks(a.matrices)}, {kThreads}, 32 * sizeof(double)}, row_mean_kernel<T>, a);
  } else {
    launch(name, on.stream, over(a.n), moment_kernel<T>, a);
  }
  launch(name, on.stream, {{blocks(a.pieces)}, {kThreads}, 32 * sizeof(double)}, squares_kernel<T>, a);
  launch(name, on.stream, one_block, settle_kernel<T>, a);
  launch(name, on.stream, over(a.n), descend_kernel<T>, a);
}

}  // namespace

void CudaOptimizer::adafactor(std::span<const AdafactorItem> items, double gradient_scale) {
  for (const AdafactorItem& item : items) {
    switch (item.parameter.dtype) {
      case DType::float32:
        step<float>(device_, item, gradient_scale);
        break;
      case DType::float64:
        step<double>(device_, item, gradient_scale);
        break;
      default:
        unsupported("optimizer.adafactor", item.parameter.dtype, device_.device());
    }
  }
}

}  // namespace mica::cuda
