// Layer norm, forward and backward; float32 goes through the SIMD kernels. Rows in parallel, each in three passes
// (mean, variance, result), summed in double. The gradients of weight and bias are summed over the rows in their order,
// columns in parallel.

#include "mica/kernels/norm.h"

#include <cmath>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/pointwise.h"
#include "mica/kernels/cpu/simd/norm.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {

template <typename T>
void layer_norm_row(const T* x, const T* weight, const T* bias, double eps, int64_t size, T* y, T* mean, T* rstd) {
  const auto n = static_cast<double>(size);
  const double m = sum_of(size, [&](int64_t i) { return x[i]; }) / n;
  const double variance = sum_of(size,
                                 [&](int64_t i) {
                                   const double centred = static_cast<double>(x[i]) - m;
                                   return centred * centred;
                                 }) /
                          n;
  const double r = 1 / std::sqrt(variance + eps);
  for (int64_t i = 0; i < size; ++i) {
    const auto normal = static_cast<T>((static_cast<double>(x[i]) - m) * r);
    y[i] = normal * weight[i] + (bias != nullptr ? bias[i] : T(0));
  }
  if (mean != nullptr) *mean = static_cast<T>(m);
  if (rstd != nullptr) *rstd = static_cast<T>(r);
}

template void layer_norm_row(const float*, const float*, const float*, double, int64_t, float*, float*, float*);
template void layer_norm_row(const double*, const double*, const double*, double, int64_t, double*, double*, double*);

namespace {

template <typename T>
void layer_norm(const View& x, const View& residual, const View& weight, const View& bias, double eps, const View& y,
                const View& sum, const View& mean, const View& rstd) {
  const int64_t size = x.size(-1);
  const T* w = parameter<T>(weight, Scratch::parameter_a);
  const T* b = parameter<T>(bias, Scratch::parameter_b);
  const int64_t rows = size == 0 ? 0 : x.numel() / size;
  parallel_for(rows, row_grain(4 * size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* s = x.as<const T>() + row * size;
      if (residual || sum) {
        T* out = (sum ? sum : y).as<T>() + row * size;
        const T* r = residual ? residual.as<const T>() + row * size : nullptr;
        for (int64_t i = 0; i < size; ++i) out[i] = r != nullptr ? s[i] + r[i] : s[i];
        s = out;
      }
      layer_norm_row(s, w, b, eps, size, y.as<T>() + row * size, mean ? mean.as<T>() + row : nullptr,
                     rstd ? rstd.as<T>() + row : nullptr);
    }
  });
}

template <typename T>
void layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd, const View& weight,
                         const View& ds, const View& dweight, const View& dbias) {
  const int64_t size = dy.size(-1);
  if (size == 0) return;
  const int64_t rows = dy.numel() / size;
  const T* w = parameter<T>(weight, Scratch::parameter_a);

  // Before ds, which might share memory with dy or sum. A block of columns at a time, all rows in order.
  if (dweight || dbias) {
    constexpr int64_t kColumns = 64;
    const int64_t blocks = (size + kColumns - 1) / kColumns;
    parallel_for(blocks, row_grain(rows * kColumns), [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * kColumns;
        const int64_t columns = std::min(kColumns, size - first);
        double weight_sums[kColumns] = {};
        double bias_sums[kColumns] = {};
        for (int64_t row = 0; row < rows; ++row) {
          const T* g = dy.as<const T>() + row * size + first;
          const T* s = sum.as<const T>() + row * size + first;
          const T m = mean.as<const T>()[row];
          const T r = rstd.as<const T>()[row];
          for (int64_t i = 0; i < columns; ++i) {
            weight_sums[i] += static_cast<double>(g[i] * ((s[i] - m) * r));
            bias_sums[i] += static_cast<double>(g[i]);
          }
        }
        for (int64_t i = 0; i < columns; ++i) {
          if (dweight) dweight.as<T>()[first + i] = static_cast<T>(weight_sums[i]);
          if (dbias) dbias.as<T>()[first + i] = static_cast<T>(bias_sums[i]);
        }
      }
    });
  }

  parallel_for(rows, row_grain(4 * size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* g = dy.as<const T>() + row * size;
      const T* s = sum.as<const T>() + row * size;
      T* out = ds.as<T>() + row * size;
      const auto m = static_cast<double>(mean.as<const T>()[row]);
      const auto r = static_cast<double>(rstd.as<const T>()[row]);
      const auto gradient = [&](int64_t i) { return static_cast<double>(g[i]) * static_cast<double>(w[i]); };
      const auto normal = [&](int64_t i) { return (static_cast<double>(s[i]) - m) * r; };
      const auto n = static_cast<double>(size);
      const double mean_g = sum_of(size, gradient) / n;
      const double mean_gx = sum_of(size, [&](int64_t i) { return gradient(i) * normal(i); }) / n;
      for (int64_t i = 0; i < size; ++i) {
        out[i] = static_cast<T>(r * (gradient(i) - mean_g - normal(i) * mean_gx));
      }
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuNorm::layer_norm(const View& x, const View& residual, const View& weight, const View& bias, double eps,
                         const View& y, const View& sum, const View& mean, const View& rstd) {
  const int64_t size = x.size(-1);
  if (x.dtype == DType::float32 && size > 0) {
    const cpu::simd::LayerNorm task{.x = x.as<const float>(),
                                    .x_row = size,
                                    .residual = residual.as<const float>(),
                                    .residual_row = size,
                                    .weight = cpu::parameter<float>(weight, cpu::Scratch::parameter_a),
                                    .bias = cpu::parameter<float>(bias, cpu::Scratch::parameter_b),
                                    .epsilon = static_cast<float>(eps),
                                    .y = y.as<float>(),
                                    .y_row = size,
                                    .sum = sum.as<float>(),
                                    .sum_row = size,
                                    .mean = mean.as<float>(),
                                    .rstd = rstd.as<float>(),
                                    .size = size};
    return cpu::simd::layer_norm(task, x.numel() / size);
  }
  cpu::with_floating("norm.layer_norm", x.dtype, [&](auto tag) {
    cpu::layer_norm<decltype(tag)>(x, residual, weight, bias, eps, y, sum, mean, rstd);
  });
}

void CpuNorm::layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd,
                                  const View& weight, const View& ds, const View& dweight, const View& dbias) {
  const int64_t size = dy.size(-1);
  if (dy.dtype == DType::float32 && size > 0) {
    const cpu::simd::LayerNormBackward task{.dy = dy.as<const float>(),
                                            .sum = sum.as<const float>(),
                                            .mean = mean.as<const float>(),
                                            .rstd = rstd.as<const float>(),
                                            .weight = cpu::parameter<float>(weight, cpu::Scratch::parameter_a),
                                            .ds = ds.as<float>(),
                                            .dweight = dweight.as<float>(),
                                            .dbias = dbias.as<float>(),
                                            .size = size};
    return cpu::simd::layer_norm_backward(task, dy.numel() / size);
  }
  cpu::with_floating("norm.layer_norm_backward", dy.dtype, [&](auto tag) {
    cpu::layer_norm_backward<decltype(tag)>(dy, sum, mean, rstd, weight, ds, dweight, dbias);
  });
}

}  // namespace mica
