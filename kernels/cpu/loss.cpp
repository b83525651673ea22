// Losses and their gradients. Sums run in double, rows or fixed chunks in parallel and the chunks' sums in order.

#include "mica/kernels/loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "mica/base/error.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/pointwise.h"
#include "mica/kernels/cpu/simd/norm.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

// Rows that count; throws for a label that names no class.
int64_t count_labels(const View& labels, int64_t ignore_index, int64_t classes) {
  int64_t counted = 0;
  for (int64_t i = 0; i < labels.numel(); ++i) {
    const int64_t label = labels.as<const int64_t>()[i];
    if (label == ignore_index) continue;
    if (label < 0 || label >= classes) {
      throw Error("label " + std::to_string(label) + " is outside the " + std::to_string(classes) + " classes",
                  "cross_entropy", "use labels from 0 on, or " + std::to_string(ignore_index) + " to leave a row out");
    }
    ++counted;
  }
  return counted;
}

template <typename T>
double log_sum_exp(const T* x, int64_t classes) {
  if (classes == 0) return -std::numeric_limits<double>::infinity();
  if constexpr (std::is_same_v<T, float>) return simd::log_sum_exp(x, classes);
  const T largest = *std::max_element(x, x + classes);
  return static_cast<double>(largest) + std::log(sum_of(classes, [&](int64_t i) { return std::exp(x[i] - largest); }));
}

// dx = factor * e^(x - level)
template <typename T>
void scaled_exp(const T* x, T level, T factor, T* dx, int64_t classes) {
  if constexpr (std::is_same_v<T, float>) return simd::scaled_exp(x, level, factor, dx, classes);
  for (int64_t i = 0; i < classes; ++i) dx[i] = factor * std::exp(x[i] - level);
}

template <typename T>
void cross_entropy(const View& logits, const View& labels, int64_t ignore_index, const View& loss,
                   const View& log_sum_exp) {
  const int64_t rows = logits.size(0);
  const int64_t classes = logits.size(1);
  const int64_t counted = count_labels(labels, ignore_index, classes);
  double* losses = scratch<double>(Scratch::sums, rows);
  parallel_for(rows, row_grain(8 * classes), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = logits.as<const T>() + row * classes;
      const double total = cpu::log_sum_exp(x, classes);
      log_sum_exp.as<T>()[row] = static_cast<T>(total);
      const int64_t label = labels.as<const int64_t>()[row];
      losses[row] = label == ignore_index ? 0 : total - static_cast<double>(x[label]);
    }
  });
  const double sum = sum_of(rows, [&](int64_t row) { return losses[row]; });
  *loss.as<T>() = static_cast<T>(sum / static_cast<double>(counted));
}

template <typename T>
void cross_entropy_backward(const View& dloss, const View& logits, const View& labels, int64_t ignore_index,
                            const View& log_sum_exp, const View& dlogits) {
  const int64_t classes = logits.size(1);
  const int64_t counted = count_labels(labels, ignore_index, classes);
  const auto factor = static_cast<T>(static_cast<double>(*dloss.as<const T>()) / static_cast<double>(counted));
  parallel_for(logits.size(0), row_grain(8 * classes), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = logits.as<const T>() + row * classes;
      T* dx = dlogits.as<T>() + row * classes;
      const int64_t label = labels.as<const int64_t>()[row];
      if (label == ignore_index) {
        std::fill_n(dx, classes, T(0));
        continue;
      }
      scaled_exp(x, log_sum_exp.as<const T>()[row], factor, dx, classes);
      dx[label] -= factor;
    }
  });
}

// loss = mean of term(i) over n elements.
template <typename T, typename F>
void mean_of(int64_t n, const View& loss, const F& term) {
  constexpr int64_t kChunk = 4096;
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  double* sums = scratch<double>(Scratch::sums, chunks);
  parallel_for(chunks, 2, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * kChunk;
      sums[chunk] = sum_of(std::min(kChunk, n - first), [&](int64_t i) { return term(first + i); });
    }
  });
  const double sum = sum_of(chunks, [&](int64_t chunk) { return sums[chunk]; });
  *loss.as<T>() = static_cast<T>(sum / static_cast<double>(n));
}

// dx[i] = dloss / n * slope(i)
template <typename T, typename F>
void mean_gradient(int64_t n, const View& dloss, const View& dx, const F& slope) {
  const double factor = static_cast<double>(*dloss.as<const T>()) / static_cast<double>(n);
  parallel_for(n, kGrain / 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dx.as<T>()[i] = static_cast<T>(factor * slope(i));
  });
}

}  // namespace
}  // namespace cpu

using namespace cpu;

void CpuLoss::cross_entropy(const View& logits, const View& labels, int64_t ignore_index, const View& loss,
                            const View& log_sum_exp) {
  with_floating("loss.cross_entropy", logits.dtype,
                [&](auto tag) { cpu::cross_entropy<decltype(tag)>(logits, labels, ignore_index, loss, log_sum_exp); });
}

void CpuLoss::cross_entropy_backward(const View& dloss, const View& logits, const View& labels, int64_t ignore_index,
                                     const View& log_sum_exp, const View& dlogits) {
  with_floating("loss.cross_entropy_backward", logits.dtype, [&](auto tag) {
    cpu::cross_entropy_backward<decltype(tag)>(dloss, logits, labels, ignore_index, log_sum_exp, dlogits);
  });
}

void CpuLoss::mse(const View& x, const View& target, const View& loss) {
  with_floating("loss.mse", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    mean_of<T>(x.numel(), loss, [p = x.as<const T>(), t = target.as<const T>()](int64_t i) {
      const double difference = static_cast<double>(p[i]) - static_cast<double>(t[i]);
      return difference * difference;
    });
  });
}

void CpuLoss::mse_backward(const View& dloss, const View& x, const View& target, const View& dx) {
  with_floating("loss.mse_backward", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    mean_gradient<T>(x.numel(), dloss, dx, [p = x.as<const T>(), t = target.as<const T>()](int64_t i) {
      return 2 * (static_cast<double>(p[i]) - static_cast<double>(t[i]));
    });
  });
}

void CpuLoss::bce_with_logits(const View& x, const View& target, const View& loss) {
  with_floating("loss.bce_with_logits", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    mean_of<T>(x.numel(), loss, [p = x.as<const T>(), t = target.as<const T>()](int64_t i) {
      const auto v = static_cast<double>(p[i]);
      return std::max(v, 0.0) - v * static_cast<double>(t[i]) + std::log1p(std::exp(-std::abs(v)));
    });
  });
}

void CpuLoss::bce_with_logits_backward(const View& dloss, const View& x, const View& target, const View& dx) {
  with_floating("loss.bce_with_logits_backward", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    mean_gradient<T>(x.numel(), dloss, dx, [p = x.as<const T>(), t = target.as<const T>()](int64_t i) {
      return 1 / (1 + std::exp(-static_cast<double>(p[i]))) - static_cast<double>(t[i]);
    });
  });
}

}  // namespace mica
