// AdamW, SGD, Lion and the global norm over all tensors of a model.
//
// Bytes (float32): AdamW reads p, g, m, v and writes p, m, v: 28 a parameter, and nothing else comes near it. A launch
// takes up to kItems tensors, whose descriptions travel with its arguments, and cuts them into blocks of kChunk
// elements: a model of 200 tensors is stepped by a handful of launches in one pass over memory, 16 bytes a lane, with
// the gradient's scale folded in. In recorded steps AdamW's scale and factors lie in the device's memory: three numbers
// a block read once. adafactor.cu has the one optimizer that needs sums over whole tensors.

#include <array>
#include <cmath>
#include <limits>

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

// Calls body(item, first, last) for the chunk of this block.
template <typename Item, typename Body>
__device__ __forceinline__ void for_chunk(const Batch<Item>& batch, const Body& body) {
  const auto block = static_cast<int32_t>(block_x());
  int at = 0;
  while (at + 1 < batch.count && batch.first_block[at + 1] <= block) ++at;
  const Item& item = batch.items[at];
  const int64_t first = int64_t{block - batch.first_block[at]} * kChunk;
  body(item, first, std::min(item.n, first + kChunk));
}

// What every optimizer moves: the parameter, its gradient, and up to two states (null: none).
template <typename T>
struct Moved {
  T* parameter;
  const T* gradient;
  T *first, *second;
  int64_t n;
  bool wide;  // all of them 16-byte aligned
};

template <typename T>
struct AdamW : Moved<T> {
  T decay, step_size, inverse_root, beta1, beta1_rest, beta2, beta2_rest, eps, scale;
  __device__ __forceinline__ void step(T& p, T g, T& m, T& v) const {
    const T slope = g * scale;
    m = beta1 * m + beta1_rest * slope;
    v = beta2 * v + beta2_rest * slope * slope;
    p = p * decay - step_size * m / (std::sqrt(v) * inverse_root + eps);
  }
};

// AdamW whose numbers of this step lie in the device's memory.
template <typename T>
struct RecordedAdamW : Moved<T> {
  const double *factors, *scale;
  T beta1, beta1_rest, beta2, beta2_rest, eps;
};

template <typename T>
struct Sgd : Moved<T> {
  T lr, weight_decay, momentum, dampening_rest, scale;
  bool nesterov, first_step;
  __device__ __forceinline__ void step(T& p, T g, T& buffer, T& /*unused*/) const {
    T direction = g * scale + weight_decay * p;
    if (this->first != nullptr) {
      buffer = first_step ? direction : momentum * buffer + dampening_rest * direction;
      direction = nesterov ? direction + momentum * buffer : buffer;
    }
    p -= lr * direction;
  }
};

template <typename T>
struct Lion : Moved<T> {
  T decay, lr, beta1, beta1_rest, beta2, beta2_rest, scale;
  __device__ __forceinline__ void step(T& p, T g, T& m, T& /*unused*/) const {
    const T slope = g * scale;
    const T blend = beta1 * m + beta1_rest * slope;
    const T sign = blend > 0 ? T(1) : blend < 0 ? T(-1) : blend;  // zero and NaN stay
    p = p * decay - lr * sign;
    m = beta2 * m + beta2_rest * slope;
  }
};

// Neighbouring elements, kPack at a time; states that are not there read as zeros and are not written.
template <int kPack, typename T, typename Item>
__device__ __forceinline__ void step_packs(const Item& item, int64_t first, int64_t last) {
  for (int64_t i = first + int64_t{thread_x()} * kPack; i < last; i += int64_t{threads_x()} * kPack) {
    auto p = load_pack<kPack>(item.parameter + i);
    const auto g = load_pack<kPack>(item.gradient + i);
    Pack<T, kPack> state{}, second{};
    if (item.first != nullptr) state = load_pack<kPack>(item.first + i);
    if (item.second != nullptr) second = load_pack<kPack>(item.second + i);
    for (int k = 0; k < kPack; ++k) item.step(p.values[k], g.values[k], state.values[k], second.values[k]);
    store_pack(item.parameter + i, p);
    if (item.first != nullptr) store_pack(item.first + i, state);
    if (item.second != nullptr) store_pack(item.second + i, second);
  }
}

template <typename T, typename Item>
__device__ __forceinline__ void step_chunk(const Item& item, int64_t first, int64_t last) {
  const int64_t whole = item.wide ? first + (last - first) / kWide<T> * kWide<T> : first;
  step_packs<kWide<T>, T>(item, first, whole);
  step_packs<1, T>(item, whole, last);
}

template <typename T, typename Item>
__global__ void step_kernel(Batch<Item> batch) {
  for_chunk(batch, [](const Item& item, int64_t first, int64_t last) { step_chunk<T>(item, first, last); });
}

template <typename T>
__global__ void step_recorded_kernel(Batch<RecordedAdamW<T>> batch) {
  for_chunk(batch, [](const RecordedAdamW<T>& item, int64_t first, int64_t last) {
    const double scale = *item.scale;
    if (!(scale - scale == 0)) return;  // not finite
    const AdamW<T> now{static_cast<const Moved<T>&>(item),
                       static_cast<T>(item.factors[0]),
                       static_cast<T>(item.factors[1]),
                       static_cast<T>(item.factors[2]),
                       item.beta1,
                       item.beta1_rest,
                       item.beta2,
                       item.beta2_rest,
                       item.eps,
                       static_cast<T>(scale)};
    step_chunk<T>(now, first, last);
  });
}

// Launches of a kernel for all items, kItems at a time; make(item) describes one for it. T is the items' type.
template <typename T, typename Made, typename Make, typename Item>
void step_all(CudaDevice& on, const char* name, std::span<const Item> items, const Make& make,
              void (*kernel)(Batch<Made>)) {
  Batch<Made> batch{};
  int32_t blocks = 0;
  const auto flush = [&] {
    if (batch.count == 0) return;
    batch.first_block[batch.count] = blocks;
    launch(name, on.stream, {{static_cast<unsigned>(blocks)}, {kThreads}}, kernel, batch);
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

template <typename T>
Moved<T> moved(const View& parameter, const View& gradient, const View& first, const View& second) {
  bool wide = true;
  for (const View* each : {&parameter, &gradient, &first, &second}) {
    wide = wide && reinterpret_cast<uintptr_t>(each->data) % 16 == 0;
  }
  return {parameter.as<T>(), gradient.as<const T>(), first.as<T>(), second.as<T>(), parameter.numel(), wide};
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
  for_chunk(batch, [&](const Squares<T>& item, int64_t first, int64_t last) {
    for (int64_t i = first + thread_x(); i < last; i += threads_x()) {
      const auto x = static_cast<double>(item.x[i]);
      sum += x * x;
    }
  });
  sum = combine_block(sum, Add{}, &shared_memory<double>());
  if (thread_x() == 0) sums[block_x()] = sum;
}

// NaN where a fault is given and holds something.
__global__ void sum_kernel(const double* sums, int64_t n, const Fault* fault, double* y) {
  double sum = 0;
  for (int64_t i = thread_x(); i < n; i += threads_x()) sum += sums[i];
  sum = combine_block(sum, Add{}, &shared_memory<double>());
  if (thread_x() != 0) return;
  *y = fault != nullptr && fault->kind != FaultKind::none ? std::numeric_limits<double>::quiet_NaN() : sum;
}

}  // namespace

void CudaOptimizer::adamw(std::span<const AdamWItem> items, double gradient_scale, const View& device_scale) {
  for_types(device_, "optimizer.adamw", items, [&](auto zero) {
    using T = decltype(zero);
    const auto recorded = [&](const AdamWItem& item) {
      return RecordedAdamW<T>{moved<T>(item.parameter, item.gradient, item.mean, item.variance),
                              item.factors.as<const double>(),
                              device_scale.as<const double>(),
                              static_cast<T>(item.beta1),
                              static_cast<T>(1 - item.beta1),
                              static_cast<T>(item.beta2),
                              static_cast<T>(1 - item.beta2),
                              static_cast<T>(item.eps)};
    };
    const auto now = [&](const AdamWItem& item) {
      const AdamWFactors factors = item.own_factors();
      return AdamW<T>{moved<T>(item.parameter, item.gradient, item.mean, item.variance),
                      static_cast<T>(factors.decay),
                      static_cast<T>(factors.step_size),
                      static_cast<T>(factors.inverse_root),
                      static_cast<T>(item.beta1),
                      static_cast<T>(1 - item.beta1),
                      static_cast<T>(item.beta2),
                      static_cast<T>(1 - item.beta2),
                      static_cast<T>(item.eps),
                      static_cast<T>(gradient_scale)};
    };
    if (device_scale) {
      step_all<T, RecordedAdamW<T>>(device_, "optimizer.adamw", items, recorded, step_recorded_kernel<T>);
    } else {
      step_all<T, AdamW<T>>(device_, "optimizer.adamw", items, now, step_kernel<T, AdamW<T>>);
    }
  });
}

void CudaOptimizer::sgd(std::span<const SgdItem> items, double gradient_scale) {
  for_types(device_, "optimizer.sgd", items, [&](auto zero) {
    using T = decltype(zero);
    const auto make = [&](const SgdItem& item) {
      return Sgd<T>{moved<T>(item.parameter, item.gradient, item.buffer, {}),
                    static_cast<T>(item.lr),
                    static_cast<T>(item.weight_decay),
                    static_cast<T>(item.momentum),
                    static_cast<T>(1 - item.dampening),
                    static_cast<T>(gradient_scale),
                    item.nesterov,
                    item.first_step};
    };
    step_all<T, Sgd<T>>(device_, "optimizer.sgd", items, make, step_kernel<T, Sgd<T>>);
  });
}

void CudaOptimizer::lion(std::span<const LionItem> items, double gradient_scale) {
  for_types(device_, "optimizer.lion", items, [&](auto zero) {
    using T = decltype(zero);
    const auto make = [&](const LionItem& item) {
      return Lion<T>{moved<T>(item.parameter, item.gradient, item.mean, {}),
                     static_cast<T>(1 - item.lr * item.weight_decay),
                     static_cast<T>(item.lr),
                     static_cast<T>(item.beta1),
                     static_cast<T>(1 - item.beta1),
                     static_cast<T>(item.beta2),
                     static_cast<T>(1 - item.beta2),
                     static_cast<T>(gradient_scale)};
    };
    step_all<T, Lion<T>>(device_, "optimizer.lion", items, make, step_kernel<T, Lion<T>>);
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
         device_.memory.pools() ? device_.fault : nullptr, y.as<double>());
}

}  // namespace mica::cuda
