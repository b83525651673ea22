// Losses and their gradients.
//
// Cross entropy. Bytes: forward reads each logit once (an online maximum and sum), backward reads it and writes the
// gradient, in place if asked: 3 x rows x classes elements in all, which is the floor; the exponentials, one an element
// and pass, stay below it. A block takes a row; the row's loss goes to scratch and one block adds them in order.

#include <cmath>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/loss.h"

namespace mica::cuda {
namespace {

constexpr unsigned kThreads = 256;

// A maximum and the sum of exp(x - maximum).
template <typename C>
struct Online {
  C largest, sum;
};
template <typename C>
struct Merge {
  __device__ __forceinline__ Online<C> operator()(const Online<C>& a, const Online<C>& b) const {
    const C largest = Largest{}(a.largest, b.largest);
    const C shift = largest == minus_infinity<C>() ? C(0) : largest;
    return {largest, a.sum * std::exp(a.largest - shift) + b.sum * std::exp(b.largest - shift)};
  }
};
template <typename C>
__device__ __forceinline__ Online<C> shuffle_xor(Online<C> value, unsigned bits) {
  return {cuda::shuffle_xor(value.largest, bits), cuda::shuffle_xor(value.sum, bits)};
}

// The same for all threads of the block; scratch as combine_block's.
template <typename C>
__device__ Online<C> merge_block(Online<C> value, Online<C>* scratch) {
  for (unsigned bits = kWarp / 2; bits > 0; bits /= 2) value = Merge<C>{}(value, shuffle_xor(value, bits));
  if (lane_index() == 0) scratch[warp_index()] = value;
  block_barrier();
  value = scratch[0];
  for (unsigned w = 1; w < threads_x() / kWarp; ++w) value = Merge<C>{}(value, scratch[w]);
  block_barrier();
  return value;
}

template <typename T>
struct CrossEntropy {
  const T* logits;
  const int64_t* labels;
  int64_t ignore_index, rows, classes;
  T* log_sum_exp;
};

// One more number.
template <typename C>
__device__ __forceinline__ void take_in(Online<C>& mine, C value) {
  if (value > mine.largest || value != value) {
    mine.sum = mine.sum * std::exp(mine.largest - value) + 1;
    mine.largest = value;
  } else if (mine.largest != minus_infinity<C>()) {
    mine.sum += std::exp(value - mine.largest);
  }
}

template <typename T, int kPack>
__global__ void cross_entropy_kernel(CrossEntropy<T> a, double* losses, Fault* fault) {
  using C = Computed<T>;
  const int64_t row = block_x();
  const T* x = a.logits + row * a.classes;
  Online<C> mine{minus_infinity<C>(), 0};
  for (int64_t pack = thread_x(); pack < a.classes / kPack; pack += threads_x()) {
    const auto values = load_pack<kPack>(x + pack * kPack);
    for (int i = 0; i < kPack; ++i) take_in(mine, widen(values.values[i]));
  }
  const Online<C> all = merge_block(mine, &shared_memory<Online<C>>());
  if (thread_x() != 0) return;
  const double total = static_cast<double>(all.largest) + std::log(static_cast<double>(all.sum));
  a.log_sum_exp[row] = narrow<T>(total);
  const int64_t label = a.labels[row];
  if (label == a.ignore_index) {
    losses[row] = 0;
  } else if (label < 0 || label >= a.classes) {
    report(fault, FaultKind::label, label, a.classes);
    losses[row] = 0;
  } else {
    losses[row] = total - static_cast<double>(widen(x[label]));
  }
}

// One block: how many rows count, known to all threads.
__device__ double counted_rows(const int64_t* labels, int64_t rows, int64_t ignore_index, double* scratch) {
  double counted = 0;
  for (int64_t row = thread_x(); row < rows; row += threads_x()) counted += labels[row] != ignore_index ? 1 : 0;
  return combine_block(counted, Add{}, scratch);
}

template <typename T>
__global__ void mean_loss_kernel(const double* losses, const int64_t* labels, int64_t ignore_index, int64_t rows,
                                 T* loss) {
  auto* scratch = &shared_memory<double>();
  double sum = 0;
  for (int64_t row = thread_x(); row < rows; row += threads_x()) sum += losses[row];
  sum = combine_block(sum, Add{}, scratch);
  const double counted = counted_rows(labels, rows, ignore_index, scratch);
  if (thread_x() == 0) *loss = narrow<T>(sum / counted);
}

template <typename T>
__global__ void factor_kernel(const T* dloss, const int64_t* labels, int64_t ignore_index, int64_t rows,
                              double* factor) {
  const double counted = counted_rows(labels, rows, ignore_index, &shared_memory<double>());
  if (thread_x() == 0) *factor = static_cast<double>(widen(*dloss)) / counted;
}

template <typename T, int kPack>
__global__ void cross_entropy_backward_kernel(CrossEntropy<T> a, const double* factor_of_all, T* dlogits) {
  using C = Computed<T>;
  const C factor = static_cast<C>(*factor_of_all);
  const int64_t row = block_x(), label = a.labels[row];
  const bool counts = label != a.ignore_index;
  const C total = widen(a.log_sum_exp[row]);
  for (int64_t pack = int64_t{block_y()} * threads_x() + thread_x(); pack < a.classes / kPack;
       pack += int64_t{blocks_y()} * threads_x()) {
    const int64_t first = pack * kPack;
    auto values = load_pack<kPack>(a.logits + row * a.classes + first);
    for (int i = 0; i < kPack; ++i) {
      const C p = std::exp(widen(values.values[i]) - total);
      values.values[i] = narrow<T>(counts ? factor * (p - (first + i == label ? C(1) : C(0))) : C(0));
    }
    store_pack(dlogits + row * a.classes + first, values);
  }
}

// ---- means over all elements ----------------------------------------------------------------------------------------

struct SquaredError {
  __device__ double value(double x, double target) const { return (x - target) * (x - target); }
  __device__ double slope(double x, double target) const { return 2 * (x - target); }
};
struct BinaryCrossEntropy {
  __device__ double value(double x, double target) const {
    return (x > 0 ? x : 0.0) - x * target + std::log1p(std::exp(-std::abs(x)));
  }
  __device__ double slope(double x, double target) const { return 1 / (1 + std::exp(-x)) - target; }
};

constexpr int64_t kChunk = 4096;  // elements that a block adds up

template <typename T, typename Loss>
__global__ void chunk_loss_kernel(Loss loss, const T* x, const T* target, int64_t n, double* sums) {
  double sum = 0;
  const int64_t first = block_x() * kChunk, last = std::min(n, first + kChunk);
  for (int64_t i = first + thread_x(); i < last; i += threads_x()) {
    sum += loss.value(static_cast<double>(widen(x[i])), static_cast<double>(widen(target[i])));
  }
  sum = combine_block(sum, Add{}, &shared_memory<double>());
  if (thread_x() == 0) sums[block_x()] = sum;
}

template <typename T>
__global__ void mean_kernel(const double* sums, int64_t chunks, int64_t n, T* loss) {
  double sum = 0;
  for (int64_t i = thread_x(); i < chunks; i += threads_x()) sum += sums[i];
  sum = combine_block(sum, Add{}, &shared_memory<double>());
  if (thread_x() == 0) *loss = narrow<T>(sum / static_cast<double>(n));
}

template <typename T, typename Loss>
__global__ void mean_gradient_kernel(Loss loss, const T* dloss, const T* x, const T* target, int64_t n, T* dx) {
  const double factor = static_cast<double>(widen(*dloss)) / static_cast<double>(n);
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < n; i += step) {
    dx[i] = narrow<T>(factor * loss.slope(static_cast<double>(widen(x[i])), static_cast<double>(widen(target[i]))));
  }
}

template <typename Loss>
void mean_of(CudaDevice& on, const char* name, const View& x, const View& target, const View& loss) {
  with_floating(name, x.dtype, on.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = x.numel(), chunks = ceil_div(n, kChunk);
    auto* sums = static_cast<double*>(on.queue.workspace(std::max<int64_t>(1, chunks) * 8));
    launch(name, on.stream, {{static_cast<unsigned>(chunks)}, {kThreads}, 32 * sizeof(double)},
           chunk_loss_kernel<T, Loss>, Loss{}, x.as<const T>(), target.as<const T>(), n, sums);
    launch(name, on.stream, {{1}, {kThreads}, 32 * sizeof(double)}, mean_kernel<T>, sums, chunks, n, loss.as<T>());
  });
}

template <typename Loss>
void mean_gradient(CudaDevice& on, const char* name, const View& dloss, const View& x, const View& target,
                   const View& dx) {
  with_floating(name, x.dtype, on.device(), [&](auto zero) {
    using T = decltype(zero);
    launch(name, on.stream, over(x.numel()), mean_gradient_kernel<T, Loss>, Loss{}, dloss.as<const T>(),
           x.as<const T>(), target.as<const T>(), x.numel(), dx.as<T>());
  });
}

}  // namespace

void CudaLoss::cross_entropy(const View& logits, const View& labels, int64_t ignore_index, const View& loss,
                             const View& log_sum_exp) {
  with_floating("loss.cross_entropy", logits.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const CrossEntropy<T> a{logits.as<const T>(), labels.as<const int64_t>(), ignore_index, logits.size(0),
                            logits.size(1),       log_sum_exp.as<T>()};
    auto* losses = static_cast<double*>(device_.queue.workspace(std::max<int64_t>(1, a.rows) * 8));
    launch("loss.cross_entropy", device_.stream,
           {{static_cast<unsigned>(a.rows)}, {kThreads}, 32 * sizeof(Online<Computed<T>>)},
           wide_rows(logits, a.classes) ? cross_entropy_kernel<T, kWide<T>> : cross_entropy_kernel<T, 1>, a, losses,
           device_.fault);
    launch("loss.cross_entropy", device_.stream, {{1}, {kThreads}, 32 * sizeof(double)}, mean_loss_kernel<T>, losses,
           a.labels, ignore_index, a.rows, loss.as<T>());
  });
}

void CudaLoss::cross_entropy_backward(const View& dloss, const View& logits, const View& labels, int64_t ignore_index,
                                      const View& log_sum_exp, const View& dlogits) {
  with_floating("loss.cross_entropy_backward", logits.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const CrossEntropy<T> a{logits.as<const T>(), labels.as<const int64_t>(), ignore_index, logits.size(0),
                            logits.size(1),       log_sum_exp.as<T>()};
    auto* factor = static_cast<double*>(device_.queue.workspace(8));
    launch("loss.cross_entropy_backward", device_.stream, {{1}, {kThreads}, 32 * sizeof(double)}, factor_kernel<T>,
           dloss.as<const T>(), a.labels, ignore_index, a.rows, factor);
    const auto parts = static_cast<unsigned>(std::min<int64_t>(64, ceil_div(a.classes, 4 * kThreads)));
    launch("loss.cross_entropy_backward", device_.stream, {{static_cast<unsigned>(a.rows), parts}, {kThreads}},
           wide_rows(logits, a.classes) && wide_rows(dlogits, a.classes) ? cross_entropy_backward_kernel<T, kWide<T>>
                                                                         : cross_entropy_backward_kernel<T, 1>,
           a, factor, dlogits.as<T>());
  });
}

void CudaLoss::mse(const View& x, const View& target, const View& loss) {
  mean_of<SquaredError>(device_, "loss.mse", x, target, loss);
}
void CudaLoss::mse_backward(const View& dloss, const View& x, const View& target, const View& dx) {
  mean_gradient<SquaredError>(device_, "loss.mse_backward", dloss, x, target, dx);
}
void CudaLoss::bce_with_logits(const View& x, const View& target, const View& loss) {
  mean_of<BinaryCrossEntropy>(device_, "loss.bce_with_logits", x, target, loss);
}
void CudaLoss::bce_with_logits_backward(const View& dloss, const View& x, const View& target, const View& dx) {
  mean_gradient<BinaryCrossEntropy>(device_, "loss.bce_with_logits_backward", dloss, x, target, dx);
}

}  // namespace mica::cuda
