// Layer norm and RMS norm, forward and backward; float32 goes through the SIMD kernels. Rows in parallel, each in three
// passes (mean, variance, result), summed in double. The gradients of weight and bias are summed over the rows in their
// order, columns in parallel.

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
                const View& sum, const View& mean, const View& rstd, const Dropout& dropout) {
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
        if (dropout.p > 0) {
          drop_elements(dropout, row * size, s, r, out, size);
        } else {
          for (int64_t i = 0; i < size; ++i) out[i] = r != nullptr ? s[i] + r[i] : s[i];
        }
        s = out;
      }
      layer_norm_row(s, w, b, eps, size, y.as<T>() + row * size, mean ? mean.as<T>() + row : nullptr,
                     rstd ? rstd.as<T>() + row : nullptr);
    }
  });
}

template <typename T>
void layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd, const View& weight,
                         const View& dsum, const Dropout& dropout, const View& ds, const View& dx, const View& dweight,
                         const View& dbias) {
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
      const T* other = dsum ? dsum.as<const T>() + row * size : nullptr;
      for (int64_t i = 0; i < size; ++i) {
        const auto own = static_cast<T>(r * (gradient(i) - mean_g - normal(i) * mean_gx));
        out[i] = other != nullptr ? own + other[i] : own;
      }
      if (dx) drop_elements<T>(dropout, row * size, out, nullptr, dx.as<T>() + row * size, size);
    }
  });
}

// What a vector is multiplied by: weight_offset + weight, or 1 without weight.
template <typename T>
const T* norm_factor(const View& weight, double weight_offset, int64_t size) {
  const T* w = parameter<T>(weight, Scratch::parameter_a);
  if (w != nullptr && weight_offset == 0) return w;
  T* factor = scratch<T>(Scratch::parameter_b, size);
  for (int64_t i = 0; i < size; ++i) factor[i] = w == nullptr ? T(1) : static_cast<T>(weight_offset) + w[i];
  return factor;
}

// The vectors of a [rows, size] or [rows, heads, size] view, in order.
struct Vectors {
  int64_t rows, heads, row_stride, head_stride;
  explicit Vectors(const View& x)
      : rows(x.size(0)),
        heads(x.rank == 3 ? x.size(1) : 1),
        row_stride(x.stride(0)),
        head_stride(x.rank == 3 ? x.stride(1) : 0) {
    if (heads > 1 && row_stride == heads * head_stride) {  // equally spaced: shared out one by one
      rows *= heads;
      row_stride = head_stride;
      heads = 1;
    }
  }
  int64_t count() const { return rows * heads; }
  int64_t at(int64_t i) const { return i / heads * row_stride + i % heads * head_stride; }
};

template <typename T>
void rms_norm(const View& x, const View& weight, double weight_offset, double eps, const View& y, const View& rstd) {
  const int64_t size = x.size(-1);
  const T* factor = norm_factor<T>(weight, weight_offset, size);
  const Vectors vectors(x);
  parallel_for(vectors.count(), row_grain(4 * size), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* from = x.as<const T>() + vectors.at(i);
      T* to = y.as<T>() + i * size;
      const double squares =
          sum_of(size, [&](int64_t k) { return static_cast<double>(from[k]) * static_cast<double>(from[k]); });
      const double r = 1 / std::sqrt(squares / static_cast<double>(size) + eps);
      for (int64_t k = 0; k < size; ++k) to[k] = static_cast<T>(static_cast<double>(from[k]) * r) * factor[k];
      if (rstd) rstd.as<T>()[i] = static_cast<T>(r);
    }
  });
}

template <typename T>
void rms_norm_backward(const View& dy, const View& x, const View& rstd, const View& weight, double weight_offset,
                       const View& dx, const View& dweight) {
  const int64_t size = x.size(-1);
  const T* factor = norm_factor<T>(weight, weight_offset, size);
  const Vectors vectors(x);
  // Before dx, which may be dy.
  if (dweight) {
    parallel_for(size, row_grain(vectors.count()), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        double sum = 0;
        for (int64_t i = 0; i < vectors.count(); ++i) {
          const T normal = x.as<const T>()[vectors.at(i) + k] * rstd.as<const T>()[i];
          sum += static_cast<double>(dy.as<const T>()[i * size + k] * normal);
        }
        dweight.as<T>()[k] = static_cast<T>(sum);
      }
    });
  }
  if (!dx) return;
  parallel_for(vectors.count(), row_grain(4 * size), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* from = x.as<const T>() + vectors.at(i);
      const T* g = dy.as<const T>() + i * size;
      T* to = dx.as<T>() + i * size;
      const auto r = static_cast<double>(rstd.as<const T>()[i]);
      const auto gradient = [&](int64_t k) { return static_cast<double>(g[k]) * static_cast<double>(factor[k]); };
      const auto normal = [&](int64_t k) { return static_cast<double>(from[k]) * r; };
      const double mean = sum_of(size, [&](int64_t k) { return gradient(k) * normal(k); }) / static_cast<double>(size);
      for (int64_t k = 0; k < size; ++k) to[k] = static_cast<T>(r * (gradient(k) - normal(k) * mean));
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuNorm::layer_norm(const View& x, const View& residual, const View& weight, const View& bias, double eps,
                         const View& y, const View& sum, const View& mean, const View& rstd, const Dropout& dropout) {
  const int64_t size = x.size(-1);
  if (x.dtype == DType::float32 && size > 0) {
    const cpu::simd::LayerNorm task{.x = x.as<const float>(),
                                    .x_row = size,
                                    .residual = residual.as<const float>(),
                                    .residual_row = size,
                                    .dropout = dropout,
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
    cpu::layer_norm<decltype(tag)>(x, residual, weight, bias, eps, y, sum, mean, rstd, dropout);
  });
}

void CpuNorm::layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd,
                                  const View& weight, const View& dsum, const Dropout& dropout, const View& ds,
                                  const View& dx, const View& dweight, const View& dbias) {
  const int64_t size = dy.size(-1);
  if (dy.dtype == DType::float32 && size > 0) {
    const cpu::simd::LayerNormBackward task{.dy = dy.as<const float>(),
                                            .sum = sum.as<const float>(),
                                            .mean = mean.as<const float>(),
                                            .rstd = rstd.as<const float>(),
                                            .weight = cpu::parameter<float>(weight, cpu::Scratch::parameter_a),
                                            .dsum = dsum.as<float>(),
                                            .dropout = dropout,
                                            .ds = ds.as<float>(),
                                            .dx = dx.as<float>(),
                                            .dweight = dweight.as<float>(),
                                            .dbias = dbias.as<float>(),
                                            .size = size};
    return cpu::simd::layer_norm_backward(task, dy.numel() / size);
  }
  cpu::with_floating("norm.layer_norm_backward", dy.dtype, [&](auto tag) {
    cpu::layer_norm_backward<decltype(tag)>(dy, sum, mean, rstd, weight, dsum, dropout, ds, dx, dweight, dbias);
  });
}

void CpuNorm::rms_norm(const View& x, const View& weight, double weight_offset, double eps, const View& y,
                       const View& rstd) {
  const int64_t size = x.size(-1);
  if (x.numel() == 0) return;
  if (x.dtype == DType::float32) {
    const cpu::Vectors vectors(x);
    return cpu::simd::rms_norm({.x = x.as<const float>(),
                                .x_row = vectors.row_stride,
                                .x_head = vectors.head_stride,
                                .heads = vectors.heads,
                                .factor = cpu::norm_factor<float>(weight, weight_offset, size),
                                .epsilon = static_cast<float>(eps),
                                .y = y.as<float>(),
                                .rstd = rstd.as<float>(),
                                .size = size},
                               vectors.rows);
  }
  cpu::with_floating("norm.rms_norm", x.dtype,
                     [&](auto tag) { cpu::rms_norm<decltype(tag)>(x, weight, weight_offset, eps, y, rstd); });
}

void CpuNorm::rms_norm_backward(const View& dy, const View& x, const View& rstd, const View& weight,
                                double weight_offset, const View& dx, const View& dweight) {
  const int64_t size = x.size(-1);
  if (x.dtype == DType::float32) {
    const cpu::Vectors vectors(x);
    return cpu::simd::rms_norm_backward({.dy = dy.as<const float>(),
                                         .x = x.as<const float>(),
                                         .x_row = vectors.row_stride,
                                         .x_head = vectors.head_stride,
                                         .heads = vectors.heads,
                                         .rstd = rstd.as<const float>(),
                                         .factor = cpu::norm_factor<float>(weight, weight_offset, size),
                                         .dx = dx.as<float>(),
                                         .dweight = dweight.as<float>(),
                                         .size = size},
                                        vectors.rows);
  }
  cpu::with_floating("norm.rms_norm_backward", x.dtype, [&](auto tag) {
    cpu::rms_norm_backward<decltype(tag)>(dy, x, rstd, weight, weight_offset, dx, dweight);
  });
}

}  // namespace mica
