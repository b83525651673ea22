// AdamW, SGD, Lion and the global norm over all tensors of a model.
//
// Bytes (float32): AdamW reads p, g, m, v and writes p, m, v: 28 a parameter, and nothing else comes near it. A launch
// takes up to kItems tensors, whose descriptions travel with its arguments, and cuts them into blocks of kChunk
// elements: a model of 200 tensors is stepped by a handful of launches in one pass over memory, with the gradient's
// scale folded in. adafactor.cu has the one optimizer that needs sums over whole tensors.

#include <array>
#include <cmath>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/optimizer.h"

namespace mica::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kChunk = 8192;  // elements of a block
constexpr int kItems = 32;        // tensors of a launch: their descriptions fit in the 4 KiB of its arguments

// Tensors of one launch. Block b works on chunk b - first_block[i] of the item i that has it.
template <typename Item>
struct Batch {
  Item items[kItems];
  int32_t first_block[kItems + 1];
  int count;
};

// Calls body(item, i) for the elements of this thread.
template <typename Item, typename Body>
__device__ __forceinline__ void for_elements(const Batch<Item>& batch, const Body& body) {
  const auto block = static_cast<int32_t>(block_x());
  int at = 0;
  while (at + 1 < batch.count && batch.first_block[at + 1] <= block) ++at;
  const Item& item = batch.items[at];
  const int64_t first = int64_t{block - batch.first_block[at]} * kChunk, last = std::min(item.n, first + kChunk);
  for (int64_t i = first + thread_x(); i < last; i += threads_x()) body(item, i);
}

template <typename T>
struct AdamW {
  T* p;
  const T* g;
  T *m, *v;
  int64_t n;
  T decay, step_size, inverse_root, beta1, beta1_rest, beta2, beta2_rest, eps, scale;
  __device__ __forceinline__ void step(int64_t i) const {
    const T gradient = g[i] * scale;
    const T mean = beta1 * m[i] + beta1_rest * gradient;
    const T variance = beta2 * v[i] + beta2_rest * gradient * gradient;
    m[i] = mean;
    v[i] = variance;
    p[i] = p[i] * decay - step_size * mean / (std::sqrt(variance) * inverse_root + eps);
  }
};

template <typename T>
struct Sgd {
  T* p;
  const T* g;
  T* buffer;
  int64_t n;
  T lr, weight_decay, momentum, dampening_rest, scale;
  bool nesterov, first_step;
  __device__ __forceinline__ void step(int64_t i) const {
    T direction = g[i] * scale + weight_decay * p[i];
    if (buffer != nullptr) {
      const T kept = first_step ? direction : momentum * buffer[i] + dampening_rest * direction;
      buffer[i] = kept;
      direction = nesterov ? direction + momentum * kept : kept;
    }
    p[i] -= lr * direction;
  }
};

template <typename T>
struct Lion {
  T* p;
  const T* g;
  T* m;
  int64_t n;
  T decay, lr, beta1, beta1_rest, beta2, beta2_rest, scale;
  __device__ __forceinline__ void step(int64_t i) const {
    const T gradient = g[i] * scale;
    const T blend = beta1 * m[i] + beta1_rest * gradient;
    const T sign = blend > 0 ? T(1) : blend < 0 ? T(-1) : blend;  // zero and NaN stay
    p[i] = p[i] * decay - lr * sign;
    m[i] = beta2 * m[i] + beta2_rest * gradient;
  }
};

template <typename Item>
__global__ void step_kernel(Batch<Item> batch) {
  for_elements(batch, [](const Item& item, int64_t i) { item.step(i); });
}

// Launches for all items, kItems at a time; make(item) describes one for the kernel. T is the items' type.
template <typename T, typename Make, typename Item>
void step_all(CudaDevice& on, const char* name, std::span<const Item> items, const Make& make) {
  using Made = decltype(make(items[0]));
  Batch<Made> batch{};
  int32_t blocks = 0;
  const auto flush = [&] {
    if (batch.count == 0) return;
    batch.first_block[batch.count] = blocks;
    launch(name, on.stream, {{static_cast<unsigned>(blocks)}, {kThreads}}, step_kernel<Made>, batch);
    batch.count = 0;
    blocks = 0;
  };
  for (const Item& item : items) {
    if (item.parameter.dtype != dtype_of<T>() || item.parameter.numel() == 0) continue;
    batch.items[batch.count] = make(item);
    batch.first_block[batch.count] = blocks;
    blocks += static_cast<int32_t>(ceil_div(item.parameter.numel(), kChunk));
    if (++batch.count == kItems) flush();
  }
  flush();
}

// Both types that parameters may have; body(zero) is called for each that occurs.
template <typename Item, typename Body>
void for_types(CudaDevice& on, const char* name, std::span<const Item> items, const Body& body) {
  bool singles = false, doubles = false;
  for (const Item& item : items) {
    switch (item.parameter.dtype) {
      case DType::float32:
        singles = true;
        break;
      case DType::float64:
        doubles = true;
        break;
      default:
        unsupported(name, item.parameter.dtype, on.device());
    }
  }
  if (singles) body(float{});
  if (doubles) body(double{});
}

template <typename T>
struct Squares {
  const T* x;
  int64_t n;
};

// sums[first + block] = the block's sum of squares.
template <typename T>
__global__ void squares_kernel(Batch<Squares<T>> batch, double* sums) {
  double sum = 0;
  for_elements(batch, [&](const Squares<T>& item, int64_t i) {
    const auto x = static_cast<double>(item.x[i]);
    sum += x * x;
  });
  sum = combine_block(sum, Add{}, &shared_memory<double>());
  if (thread_x() == 0) sums[block_x()] = sum;
}

__global__ void sum_kernel(const double* sums, int64_t n, double* y) {
  double sum = 0;
  for (int64_t i = thread_x(); i < n; i += threads_x()) sum += sums[i];
  sum = combine_block(sum, Add{}, &shared_memory<double>());
  if (thread_x() == 0) *y = sum;
}

}  // namespace

void CudaOptimizer::adamw(std::span<const AdamWItem> items, double gradient_scale) {
  for_types(device_, "optimizer.adamw", items, [&](auto zero) {
    using T = decltype(zero);
    step_all<T>(device_, "optimizer.adamw", items, [&](const AdamWItem& item) {
      const auto t = static_cast<double>(item.step);
      return AdamW<T>{item.parameter.as<T>(),
                      item.gradient.as<const T>(),
                      item.mean.as<T>(),
                      item.variance.as<T>(),
                      item.parameter.numel(),
                      static_cast<T>(1 - item.lr * item.weight_decay),
                      static_cast<T>(item.lr / (1 - std::pow(item.beta1, t))),
                      static_cast<T>(1 / std::sqrt(1 - std::pow(item.beta2, t))),
                      static_cast<T>(item.beta1),
                      static_cast<T>(1 - item.beta1),
                      static_cast<T>(item.beta2),
                      static_cast<T>(1 - item.beta2),
                      static_cast<T>(item.eps),
                      static_cast<T>(gradient_scale)};
    });
  });
}

void CudaOptimizer::sgd(std::span<const SgdItem> items, double gradient_scale) {
  for_types(device_, "optimizer.sgd", items, [&](auto zero) {
    using T = decltype(zero);
    step_all<T>(device_, "optimizer.sgd", items, [&](const SgdItem& item) {
      return Sgd<T>{item.parameter.as<T>(),
                    item.gradient.as<const T>(),
                    item.buffer.as<T>(),
                    item.parameter.numel(),
                    static_cast<T>(item.lr),
                    static_cast<T>(item.weight_decay),
                    static_cast<T>(item.momentum),
                    static_cast<T>(1 - item.dampening),
                    static_cast<T>(gradient_scale),
                    item.nesterov,
                    item.first_step};
    });
  });
}

void CudaOptimizer::lion(std::span<const LionItem> items, double gradient_scale) {
  for_types(device_, "optimizer.lion", items, [&](auto zero) {
    using T = decltype(zero);
    step_all<T>(device_, "optimizer.lion", items, [&](const LionItem& item) {
      return Lion<T>{item.parameter.as<T>(),
                     item.gradient.as<const T>(),
                     item.mean.as<T>(),
                     item.parameter.numel(),
                     static_cast<T>(1 - item.lr * item.weight_decay),
                     static_cast<T>(item.lr),
                     static_cast<T>(item.beta1),
                     static_cast<T>(1 - item.beta1),
                     static_cast<T>(item.beta2),
                     static_cast<T>(1 - item.beta2),
                     static_cast<T>(gradient_scale)};
    });
  });
}

void CudaOptimizer::sum_of_squares(std::span<const View> tensors, const View& y) {
  int64_t chunks = 0;
  for (const View& tensor : tensors) {
    if (tensor.dtype != DType::float32 && tensor.dtype != DType::float64) {
      unsupported("optimizer.sum_of_squares", tensor.dtype, device_.device());
    }
    chunks += ceil_div(tensor.numel(), kChunk);
  }
  auto* sums = static_cast<double*>(device_.queue.workspace(std::max<int64_t>(1, chunks) * 8));
  int64_t done = 0;
  const auto add = [&](auto zero) {
    using T = decltype(zero);
    Batch<Squares<T>> batch{};
    int32_t blocks = 0;
    const auto flush = [&] {
      if (batch.count == 0) return;
      batch.first_block[batch.count] = blocks;
      launch("optimizer.sum_of_squares", device_.stream,
             {{static_cast<unsigned>(blocks)}, {kThreads}, 32 * sizeof(double)}, squares_kernel<T>, batch, sums + done);
      done += blocks;
      batch.count = 0;
      blocks = 0;
    };
    for (const View& tensor : tensors) {
      if (tensor.dtype != dtype_of<T>() || tensor.numel() == 0) continue;
      batch.items[batch.count] = {tensor.as<const T>(), tensor.numel()};
      batch.first_block[batch.count] = blocks;
      blocks += static_cast<int32_t>(ceil_div(tensor.numel(), kChunk));
      if (++batch.count == kItems) flush();
    }
    flush();
  };
  add(float{});
  add(double{});
  launch("optimizer.sum_of_squares", device_.stream, {{1}, {kThreads}, 32 * sizeof(double)}, sum_kernel, sums, done,
         y.as<double>());
}

}  // namespace mica::cuda
