// AdamW, SGD, Lion and the global norm, over all tensors of a model in one parallel loop. adafactor.cpp has the one
// optimizer that needs sums over whole tensors.
//
// A step is bound by memory (28 bytes a parameter for AdamW in float32): it goes once over every tensor, with the
// gradient's scale folded in, instead of once an operation. float32 goes through simd/optimizer.cpp; float64, for
// checks, through the plain loops here.

#include "mica/kernels/optimizer.h"

#include <cmath>
#include <type_traits>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/chunks.h"
#include "mica/kernels/cpu/simd/optimizer.h"

namespace mica {
namespace cpu {
namespace {

constexpr int64_t kChunk = 16384;  // elements
constexpr int64_t kTogether = 2;   // chunks worth a thread

void adamw(const simd::AdamWStep<double>& step, double* p, const double* g, double* m, double* v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double gradient = g[i] * step.scale;
    m[i] = step.beta1 * m[i] + step.beta1_rest * gradient;
    v[i] = step.beta2 * v[i] + step.beta2_rest * gradient * gradient;
    p[i] = p[i] * step.decay - step.step_size * m[i] / (std::sqrt(v[i]) * step.inverse_root + step.eps);
  }
}

void sgd(const simd::SgdStep<double>& step, double* p, const double* g, double* buffer, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    double direction = g[i] * step.scale + step.weight_decay * p[i];
    if (buffer != nullptr) {
      buffer[i] = step.first_step ? direction : step.momentum * buffer[i] + step.dampening_rest * direction;
      direction = step.nesterov ? direction + step.momentum * buffer[i] : buffer[i];
    }
    p[i] -= step.lr * direction;
  }
}

void lion(const simd::LionStep<double>& step, double* p, const double* g, double* m, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double gradient = g[i] * step.scale;
    const double blend = step.beta1 * m[i] + step.beta1_rest * gradient;
    const double sign = blend > 0 ? 1.0 : blend < 0 ? -1.0 : blend;  // zero and NaN stay
    p[i] = p[i] * step.decay - step.lr * sign;
    m[i] = step.beta2 * m[i] + step.beta2_rest * gradient;
  }
}

double sum_of_squares(const double* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

// float takes the SIMD function of a name, double the plain one above.
using simd::adamw;
using simd::lion;
using simd::sgd;
using simd::sum_of_squares;

template <typename T>
T* at(const View& x, int64_t first) {
  return x ? x.as<T>() + first : nullptr;
}

// Calls body(T(), item, first, count) for pieces of all items, in parallel.
template <typename Item, typename Body>
void for_pieces(const char* kernel, std::span<const Item> items, const Body& body) {
  for (const Item& item : items) with_floating(kernel, item.parameter.dtype, [](auto) {});
  for_chunks(
      static_cast<int64_t>(items.size()), kTogether,
      [&](int64_t i) { return (items[static_cast<size_t>(i)].parameter.numel() + kChunk - 1) / kChunk; },
      [&](int64_t i, int64_t chunk, int64_t) {
        const Item& item = items[static_cast<size_t>(i)];
        const int64_t first = chunk * kChunk;
        const int64_t count = std::min(kChunk, item.parameter.numel() - first);
        with_floating(kernel, item.parameter.dtype, [&](auto tag) { body(tag, item, first, count); });
      });
}

}  // namespace
}  // namespace cpu

using namespace cpu;

void CpuOptimizer::adamw(std::span<const AdamWItem> items, double gradient_scale, const View& device_scale) {
  const double scale = device_scale ? *device_scale.as<const double>() : gradient_scale;
  if (device_scale && !std::isfinite(scale)) return;
  for_pieces("optimizer.adamw", items, [&](auto tag, const AdamWItem& item, int64_t first, int64_t count) {
    using T = decltype(tag);
    const auto* given = item.factors.as<const double>();
    const AdamWFactors factors = given != nullptr ? AdamWFactors{given[0], given[1], given[2]} : item.own_factors();
    const simd::AdamWStep<T> step{
        .decay = static_cast<T>(factors.decay),
        .step_size = static_cast<T>(factors.step_size),
        .inverse_root = static_cast<T>(factors.inverse_root),
        .beta1 = static_cast<T>(item.beta1),
        .beta1_rest = static_cast<T>(1 - item.beta1),
        .beta2 = static_cast<T>(item.beta2),
        .beta2_rest = static_cast<T>(1 - item.beta2),
        .eps = static_cast<T>(item.eps),
        .scale = static_cast<T>(scale),
    };
    cpu::adamw(step, at<T>(item.parameter, first), at<const T>(item.gradient, first), at<T>(item.mean, first),
               at<T>(item.variance, first), count);
  });
}

void CpuOptimizer::sgd(std::span<const SgdItem> items, double gradient_scale) {
  for_pieces("optimizer.sgd", items, [&](auto tag, const SgdItem& item, int64_t first, int64_t count) {
    using T = decltype(tag);
    const simd::SgdStep<T> step{
        .lr = static_cast<T>(item.lr),
        .weight_decay = static_cast<T>(item.weight_decay),
        .momentum = static_cast<T>(item.momentum),
        .dampening_rest = static_cast<T>(1 - item.dampening),
        .scale = static_cast<T>(gradient_scale),
        .nesterov = item.nesterov,
        .first_step = item.first_step,
    };
    cpu::sgd(step, at<T>(item.parameter, first), at<const T>(item.gradient, first), at<T>(item.buffer, first), count);
  });
}

void CpuOptimizer::lion(std::span<const LionItem> items, double gradient_scale) {
  for_pieces("optimizer.lion", items, [&](auto tag, const LionItem& item, int64_t first, int64_t count) {
    using T = decltype(tag);
    const simd::LionStep<T> step{
        .decay = static_cast<T>(1 - item.lr * item.weight_decay),
        .lr = static_cast<T>(item.lr),
        .beta1 = static_cast<T>(item.beta1),
        .beta1_rest = static_cast<T>(1 - item.beta1),
        .beta2 = static_cast<T>(item.beta2),
        .beta2_rest = static_cast<T>(1 - item.beta2),
        .scale = static_cast<T>(gradient_scale),
    };
    cpu::lion(step, at<T>(item.parameter, first), at<const T>(item.gradient, first), at<T>(item.mean, first), count);
  });
}

void CpuOptimizer::sum_of_squares(std::span<const View> tensors, const View& y) {
  const auto count = static_cast<int64_t>(tensors.size());
  const auto chunks = [&](int64_t i) { return (tensors[static_cast<size_t>(i)].numel() + kChunk - 1) / kChunk; };
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    with_floating("optimizer.sum_of_squares", tensors[static_cast<size_t>(i)].dtype, [](auto) {});
    total += chunks(i);
  }
  double* partial = scratch<double>(Scratch::sums, total);
  for_chunks(count, 2 * kTogether, chunks, [&](int64_t i, int64_t chunk, int64_t number) {
    const View& x = tensors[static_cast<size_t>(i)];
    const int64_t first = chunk * kChunk, size = std::min(kChunk, x.numel() - first);
    partial[number] = x.dtype == DType::float64 ? cpu::sum_of_squares(x.as<const double>() + first, size)
                                                : cpu::sum_of_squares(x.as<const float>() + first, size);
  });
  double sum = 0;
  for (int64_t i = 0; i < total; ++i) sum += partial[i];
  *y.as<double>() = sum;
}

}  // namespace mica
