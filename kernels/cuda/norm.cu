// Layer norm and RMS norm over rows; before a layer norm's, dropout and a residual.
//
// Bytes: forward reads x (and residual) and writes y (and sum) once: 2 to 4 row sizes a row. Backward reads dy, the sum
// and its other gradient once and writes ds (and dx, where elements were dropped) once; groups of threads add up their
// rows' shares of dweight and dbias in registers, and leave them in a scratch of at most kParts rows. At the copy
// bandwidth of the memory this is the floor: the arithmetic, some 10 operations an element, is far below it. Why it is
// fast: a row's elements are read 16 bytes a lane and stay in registers between the passes (mean, variance, output)
// when it is at most kMostThreads * kHeldElements long, so that each byte moves once; short rows take one warp, which
// needs no barrier. Sums run in float32 (float64 for float64) in an order that depends on the row's size alone.

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/device/dropped.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/norm.h"

namespace mica::cuda {
namespace {

template <typename T>
constexpr int kHeldElements = sizeof(T) == 8 ? 16 : 32;  // of a row that a thread keeps in registers
template <typename T, int kPack>
constexpr int kHeld = kHeldElements<T> / kPack;  // the same in packs
constexpr int kMostThreads = 256;                // of a row: more would not have the registers
constexpr int kRowsAtOnce = 4;                   // warps of a block, where a row takes one warp
constexpr int64_t kParts = 256;                  // of the rows, whose shares of dweight and dbias are summed apart

// How a row is laid over threads.
struct RowShape {
  LaunchShape launch;
  unsigned threads;  // of a row
};

template <typename T>
RowShape row_shape(int64_t rows, int64_t size) {
  if (size <= int64_t{kWarp} * kHeldElements<T>) {
    return {{{static_cast<unsigned>(ceil_div(rows, kRowsAtOnce))}, {kWarp, kRowsAtOnce}}, kWarp};
  }
  const auto threads =
      static_cast<unsigned>(std::min<int64_t>(kMostThreads, round_up(ceil_div(size, kHeldElements<T>), kWarp)));
  return {{{static_cast<unsigned>(rows)}, {threads}, 32 * sizeof(double)}, threads};
}

// Sums over the threads of a row. A block holds either several rows of a warp each, or one row.
template <typename C>
__device__ __forceinline__ C row_sum(C value) {
  if (threads_y() > 1) return combine_lanes(value, Add{});
  return combine_block(value, Add{}, &shared_memory<C>());
}

// Neighbouring parameters, at most 16 bytes an access.
template <typename C, int kPack, typename W>
__device__ __forceinline__ void load_parameters(const W* from, C (&to)[kPack]) {
  constexpr int kAtOnce = kPack < kWide<W> ? kPack : kWide<W>;
  for (int first = 0; first < kPack; first += kAtOnce) {
    const auto pack = load_pack<kAtOnce>(from + first);
    for (int i = 0; i < kAtOnce; ++i) to[first + i] = static_cast<C>(widen(pack.values[i]));
  }
}

__device__ __forceinline__ int64_t row_of_thread() {
  return int64_t{block_x()} * threads_y() + thread_y();
}

// Weights and biases (W) are of x's type (T), or float32 beside 16-bit rows.
template <typename T, typename W>
struct LayerNorm {
  const T *x, *residual;
  DroppedElements<Computed<T>> dropped;
  const W *weight, *bias;
  Computed<T> eps;
  T *y, *sum, *mean, *rstd;
  int64_t rows, size;
  int64_t x_stride, y_stride;  // of a row; the others' rows lie side by side
};

// One row a group of threads. What does not fit in registers is read again (from sum, or x and residual).
template <typename T, typename W, int kPack>
__global__ void __launch_bounds__(kMostThreads) layer_norm_kernel(LayerNorm<T, W> a) {
  using C = Computed<T>;
  const int64_t row = row_of_thread();
  if (row >= a.rows) return;  // whole warps
  const int64_t packs = a.size / kPack, start = row * a.size;
  C held[kHeld<T, kPack>][kPack];
  const auto s_of = [&](int64_t pack, C(&s)[kPack]) {
    const auto x = load_pack<kPack>(a.x + row * a.x_stride + pack * kPack);
    for (int i = 0; i < kPack; ++i) s[i] = widen(x.values[i]);
    if (a.dropped.any()) {
      a.dropped.drop(start + pack * kPack, s);
      for (int i = 0; i < kPack; ++i) s[i] = widen(narrow<T>(s[i]));
    }
    if (a.residual != nullptr) {
      const auto r = load_pack<kPack>(a.residual + start + pack * kPack);
      // The sum is rounded to its type before it is normalised: the backward pass sees the same numbers.
      for (int i = 0; i < kPack; ++i) s[i] = widen(narrow<T>(s[i] + widen(r.values[i])));
    }
  };
  const auto each = [&](auto&& body) {
#pragma unroll
    for (int h = 0; h < kHeld<T, kPack>; ++h) {
      const int64_t pack = thread_x() + int64_t{h} * threads_x();
      if (pack < packs) body(pack, held[h]);
    }
    for (int64_t pack = thread_x() + int64_t{kHeld<T, kPack>} * threads_x(); pack < packs; pack += threads_x()) {
      C s[kPack];
      s_of(pack, s);
      body(pack, s);
    }
  };
#pragma unroll
  for (int h = 0; h < kHeld<T, kPack>; ++h) {
    const int64_t pack = thread_x() + int64_t{h} * threads_x();
    if (pack < packs) s_of(pack, held[h]);
  }
  C total = 0;
  each([&](int64_t, const C* s) {
    for (int i = 0; i < kPack; ++i) total += s[i];
  });
  const C mean = row_sum(total) / static_cast<C>(a.size);
  C squares = 0;
  each([&](int64_t, const C* s) {
    for (int i = 0; i < kPack; ++i) squares += (s[i] - mean) * (s[i] - mean);
  });
  const C rstd = 1 / std::sqrt(row_sum(squares) / static_cast<C>(a.size) + a.eps);
  each([&](int64_t pack, const C* s) {
    Pack<T, kPack> y;
    C w[kPack], b[kPack] = {};
    load_parameters(a.weight + pack * kPack, w);
    if (a.bias != nullptr) load_parameters(a.bias + pack * kPack, b);
    for (int i = 0; i < kPack; ++i) {
      const C normal = (s[i] - mean) * rstd * w[i];
      y.values[i] = narrow<T>(a.bias != nullptr ? normal + b[i] : normal);
    }
    if (a.sum != nullptr) {
      Pack<T, kPack> kept;
      for (int i = 0; i < kPack; ++i) kept.values[i] = narrow<T>(s[i]);
      store_pack(a.sum + start + pack * kPack, kept);
    }
    store_pack(a.y + row * a.y_stride + pack * kPack, y);
  });
  if (thread_x() == 0) {
    if (a.mean != nullptr) a.mean[row] = narrow<T>(mean);
    if (a.rstd != nullptr) a.rstd[row] = narrow<T>(rstd);
  }
}

template <typename T, typename W>
struct RmsNorm {
  const T* x;
  const W* weight;
  Computed<T> weight_offset, eps;
  T *y, *rstd;
  int64_t rows, size;
  int64_t heads, row_stride, head_stride;  // of x; vector v is head v % heads of row v / heads
  __device__ __forceinline__ const T* vector(int64_t v) const {
    return x + v / heads * row_stride + v % heads * head_stride;
  }
};

template <typename T, typename W, int kPack>
__global__ void __launch_bounds__(kMostThreads) rms_norm_kernel(RmsNorm<T, W> a) {
  using C = Computed<T>;
  const int64_t row = row_of_thread();
  if (row >= a.rows) return;
  const int64_t packs = a.size / kPack;
  const T* x = a.vector(row);
  Pack<T, kPack> held[kHeld<T, kPack>];
  const auto each = [&](auto&& body) {
#pragma unroll
    for (int h = 0; h < kHeld<T, kPack>; ++h) {
      const int64_t pack = thread_x() + int64_t{h} * threads_x();
      if (pack < packs) body(pack, held[h]);
    }
    for (int64_t pack = thread_x() + int64_t{kHeld<T, kPack>} * threads_x(); pack < packs; pack += threads_x()) {
      body(pack, load_pack<kPack>(x + pack * kPack));
    }
  };
#pragma unroll
  for (int h = 0; h < kHeld<T, kPack>; ++h) {
    const int64_t pack = thread_x() + int64_t{h} * threads_x();
    if (pack < packs) held[h] = load_pack<kPack>(x + pack * kPack);
  }
  C squares = 0;
  each([&](int64_t, const Pack<T, kPack>& p) {
    for (int i = 0; i < kPack; ++i) squares += widen(p.values[i]) * widen(p.values[i]);
  });
  const C rstd = 1 / std::sqrt(row_sum(squares) / static_cast<C>(a.size) + a.eps);
  each([&](int64_t pack, const Pack<T, kPack>& p) {
    Pack<T, kPack> y;
    C w[kPack] = {};
    if (a.weight != nullptr) load_parameters(a.weight + pack * kPack, w);
    for (int i = 0; i < kPack; ++i) {
      const C factor = a.weight != nullptr ? a.weight_offset + w[i] : C(1);
      y.values[i] = narrow<T>(widen(p.values[i]) * rstd * factor);
    }
    store_pack(a.y + row * a.size + pack * kPack, y);
  });
  if (a.rstd != nullptr && thread_x() == 0) a.rstd[row] = narrow<T>(rstd);
}

// Layer norm's backward pass, and RMS norm's with kCentred false (mean null, ds = dx).
template <typename T, typename W>
struct NormBackward {
  const T *dy, *x, *mean, *rstd;
  const W* weight;
  Computed<T> weight_offset;
  T* dx;
  int64_t rows, size;
  int64_t heads, row_stride, head_stride;  // of x
  const T* other = nullptr;                // added to dx, or null
  DroppedElements<Computed<T>> dropped{};
  T* dropped_dx = nullptr;  // dropout(dx), or null
  __device__ __forceinline__ const T* vector(int64_t v) const {
    return x + v / heads * row_stride + v % heads * head_stride;
  }
  __device__ __forceinline__ Computed<T> factor(int64_t i) const {
    return weight != nullptr ? weight_offset + static_cast<Computed<T>>(widen(weight[i])) : Computed<T>(1);
  }
};

// Where a group of threads (a warp, or a block) leaves its sums of dy xhat and of dy, and what it is of how many.
template <typename C>
struct Shares {
  C* partial;  // [2, groups, size]; null: not wanted
  int64_t groups;
};

// Groups take rows in turn: group g those of g, g + groups, ... With kShares each adds up, in registers, what its rows
// give to dweight and dbias, so that dy and x are read once; a row must then fit in them.
template <typename T, typename W, int kPack, bool kCentred, bool kShares>
__global__ void __launch_bounds__(kMostThreads) norm_backward_kernel(NormBackward<T, W> a, Shares<Computed<T>> shares) {
  using C = Computed<T>;
  const int64_t packs = a.size / kPack, group = row_of_thread();
  C along_share[kShares ? kHeldElements<T> : 1] = {}, sum_share[kShares ? kHeldElements<T> : 1] = {};
  for (int64_t row = group; row < a.rows; row += shares.groups) {  // the same rows for all threads of a group
    const T* x = a.vector(row);
    const C mean = kCentred ? widen(a.mean[row]) : C(0), rstd = widen(a.rstd[row]);
    Pack<T, kPack> held_x[kHeld<T, kPack>], held_dy[kHeld<T, kPack>];
    const auto each = [&](auto&& body) {
#pragma unroll
      for (int h = 0; h < kHeld<T, kPack>; ++h) {
        const int64_t pack = thread_x() + int64_t{h} * threads_x();
        if (pack < packs) body(h, pack, held_x[h], held_dy[h]);
      }
      if constexpr (!kShares) {
        for (int64_t pack = thread_x() + int64_t{kHeld<T, kPack>} * threads_x(); pack < packs; pack += threads_x()) {
          body(0, pack, load_pack<kPack>(x + pack * kPack), load_pack<kPack>(a.dy + row * a.size + pack * kPack));
        }
      }
    };
#pragma unroll
    for (int h = 0; h < kHeld<T, kPack>; ++h) {
      const int64_t pack = thread_x() + int64_t{h} * threads_x();
      if (pack < packs) {
        held_x[h] = load_pack<kPack>(x + pack * kPack);
        held_dy[h] = load_pack<kPack>(a.dy + row * a.size + pack * kPack);
      }
    }
    C sum = 0, along = 0;  // of g and of g xhat
    each([&](int h, int64_t pack, const Pack<T, kPack>& xs, const Pack<T, kPack>& dys) {
      for (int i = 0; i < kPack; ++i) {
        const C dy = widen(dys.values[i]), xhat = (widen(xs.values[i]) - mean) * rstd;
        const C g = dy * a.factor(pack * kPack + i);
        if (kCentred) sum += g;
        along += g * xhat;
        if constexpr (kShares) {
          along_share[h * kPack + i] += dy * xhat;
          sum_share[h * kPack + i] += dy;
        }
      }
    });
    const C mean_g = kCentred ? row_sum(sum) / static_cast<C>(a.size) : C(0);
    const C mean_along = row_sum(along) / static_cast<C>(a.size);
    each([&](int, int64_t pack, const Pack<T, kPack>& xs, const Pack<T, kPack>& dys) {
      Pack<T, kPack> dx;
      for (int i = 0; i < kPack; ++i) {
        const C g = widen(dys.values[i]) * a.factor(pack * kPack + i);
        const C xhat = (widen(xs.values[i]) - mean) * rstd;
        dx.values[i] = narrow<T>(rstd * (g - mean_g - xhat * mean_along));
      }
      const int64_t at = row * a.size + pack * kPack;
      if (kCentred && a.other != nullptr) {
        const auto other = load_pack<kPack>(a.other + at);
        for (int i = 0; i < kPack; ++i) dx.values[i] = narrow<T>(widen(dx.values[i]) + widen(other.values[i]));
      }
      store_pack(a.dx + at, dx);
      if (kCentred && a.dropped_dx != nullptr) {
        C kept[kPack];
        for (int i = 0; i < kPack; ++i) kept[i] = widen(dx.values[i]);
        a.dropped.drop(at, kept);
        for (int i = 0; i < kPack; ++i) dx.values[i] = narrow<T>(kept[i]);
        store_pack(a.dropped_dx + at, dx);
      }
    });
  }
  if constexpr (kShares) {
#pragma unroll
    for (int h = 0; h < kHeld<T, kPack>; ++h) {
      const int64_t pack = thread_x() + int64_t{h} * threads_x();
      if (pack >= packs) continue;
      for (int i = 0; i < kPack; ++i) {
        const int64_t at = pack * kPack + i;
        shares.partial[group * a.size + at] = along_share[h * kPack + i];
        shares.partial[(shares.groups + group) * a.size + at] = sum_share[h * kPack + i];
      }
    }
  }
}

// Part p of the rows, column by column: partial[0, p, i] = sum of dy xhat, partial[1, p, i] = sum of dy. Neighbouring
// threads read neighbouring columns.
template <typename T, typename W>
__global__ void parameter_parts_kernel(NormBackward<T, W> a, int64_t rows_of_part, Computed<T>* partial,
                                       int64_t parts) {
  using C = Computed<T>;
  const int64_t i = int64_t{block_x()} * threads_x() + thread_x(), part = block_y();
  if (i >= a.size) return;
  C along = 0, sum = 0;
  for (int64_t row = part * rows_of_part; row < std::min(a.rows, (part + 1) * rows_of_part); ++row) {
    const C dy = widen(a.dy[row * a.size + i]);
    const C mean = a.mean != nullptr ? widen(a.mean[row]) : C(0);
    along += dy * ((widen(a.vector(row)[i]) - mean) * widen(a.rstd[row]));
    sum += dy;
  }
  partial[part * a.size + i] = along;
  partial[(parts + part) * a.size + i] = sum;
}

template <typename W, typename C>
__global__ void parameter_sum_kernel(const C* partial, int64_t parts, int64_t size, W* dweight, W* dbias) {
  const int64_t i = int64_t{block_x()} * threads_x() + thread_x();
  if (i >= size) return;
  C along = 0, sum = 0;
  for (int64_t part = 0; part < parts; ++part) {
    along += partial[part * size + i];
    sum += partial[(parts + part) * size + i];
  }
  if (dweight != nullptr) dweight[i] = narrow<W>(along);
  if (dbias != nullptr) dbias[i] = narrow<W>(sum);
}

// dx may be dy.
template <typename T, typename W, bool kCentred>
void backward(CudaDevice& on, const char* name, const NormBackward<T, W>& a, bool wide, const View& dweight,
              const View& dbias) {
  using C = Computed<T>;
  if (a.rows == 0 || a.size == 0) {
    for (const View* each : {&dweight, &dbias}) {
      if (*each && a.size > 0) {
        launch(name, on.stream, over(a.size), parameter_sum_kernel<W, C>, static_cast<const C*>(nullptr), int64_t{0},
               a.size, each->as<W>(), static_cast<W*>(nullptr));
      }
    }
    return;
  }
  const bool parameters = dweight || dbias, fits = a.size <= int64_t{kMostThreads} * kHeldElements<T>;
  RowShape shape = row_shape<T>(a.rows, a.size);
  const auto partial_of = [&](int64_t parts) {
    return static_cast<C*>(on.queue.workspace(2 * parts * a.size * static_cast<int64_t>(sizeof(C))));
  };
  const auto finish = [&](const C* partial, int64_t parts) {
    launch(name, on.stream, over(a.size, 64), parameter_sum_kernel<W, C>, partial, parts, a.size, dweight.as<W>(),
           dbias.as<W>());
  };
  if (parameters && fits) {
    shape.launch.grid.x = static_cast<unsigned>(std::min<int64_t>(shape.launch.grid.x, kParts / shape.launch.block.y));
    const int64_t groups = int64_t{shape.launch.grid.x} * shape.launch.block.y;
    C* partial = partial_of(groups);
    launch(name, on.stream, shape.launch,
           wide ? norm_backward_kernel<T, W, kWide<T>, kCentred, true> : norm_backward_kernel<T, W, 1, kCentred, true>,
           a, Shares<C>{partial, groups});
    return finish(partial, groups);
  }
  if (parameters) {  // the parameters' gradients first: dx may be dy
    const int64_t parts = std::min(kParts, a.rows), rows_of_part = ceil_div(a.rows, parts);
    C* partial = partial_of(parts);
    launch(name, on.stream, {{static_cast<unsigned>(ceil_div(a.size, 128)), static_cast<unsigned>(parts)}, {128}},
           parameter_parts_kernel<T, W>, a, rows_of_part, partial, parts);
    finish(partial, parts);
  }
  launch(name, on.stream, shape.launch,
         wide ? norm_backward_kernel<T, W, kWide<T>, kCentred, false> : norm_backward_kernel<T, W, 1, kCentred, false>,
         a, Shares<C>{nullptr, int64_t{shape.launch.grid.x} * shape.launch.block.y});
}

// Calls body with a value of the parameters' type: T, or float beside 16-bit rows.
template <typename T, typename Body>
void with_parameters(const char* name, const CudaDevice& on, const View& weight, const View& bias, const Body& body) {
  const DType dtype = weight ? weight.dtype : bias ? bias.dtype : dtype_of<T>();
  if (weight && bias && bias.dtype != dtype) unsupported(name, bias.dtype, on.device());
  if (dtype == dtype_of<T>()) return body(T{});
  if constexpr (sizeof(T) == 2) {
    if (dtype == DType::float32) return body(float{});
  }
  unsupported(name, dtype, on.device());
}

}  // namespace

void CudaNorm::layer_norm(const View& x, const View& residual, const View& weight, const View& bias, double eps,
                          const View& y, const View& sum, const View& mean, const View& rstd, const Dropout& dropout) {
  const char* name = "norm.layer_norm";
  with_floating(name, x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    with_parameters<T>(name, device_, weight, bias, [&](auto parameter) {
      using W = decltype(parameter);
      const int64_t rows = x.size(0), size = x.size(1);
      const LayerNorm<T, W> a{.x = x.as<T>(),
                              .residual = residual.as<T>(),
                              .dropped = DroppedElements<Computed<T>>(dropout),
                              .weight = weight.as<W>(),
                              .bias = bias.as<W>(),
                              .eps = static_cast<Computed<T>>(eps),
                              .y = y.as<T>(),
                              .sum = sum.as<T>(),
                              .mean = mean.as<T>(),
                              .rstd = rstd.as<T>(),
                              .rows = rows,
                              .size = size,
                              .x_stride = x.stride(0),
                              .y_stride = y.stride(0)};
      bool wide = wide_rows(x, size, x.stride(0)) && wide_rows(y, size, y.stride(0)) && size % kWide<T> == 0;
      for (const View* each : {&residual, &weight, &bias, &sum}) wide = wide && wide_rows(*each, size);
      launch(name, device_.stream, row_shape<T>(rows, size).launch,
             wide ? layer_norm_kernel<T, W, kWide<T>> : layer_norm_kernel<T, W, 1>, a);
    });
  });
}

void CudaNorm::layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd,
                                   const View& weight, const View& dsum, const Dropout& dropout, const View& ds,
                                   const View& dx, const View& dweight, const View& dbias) {
  const char* name = "norm.layer_norm_backward";
  with_floating(name, dy.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    with_parameters<T>(name, device_, weight, {}, [&](auto parameter) {
      using W = decltype(parameter);
      const int64_t rows = dy.size(0), size = dy.size(1);
      const NormBackward<T, W> a{.dy = dy.as<T>(),
                                 .x = sum.as<T>(),
                                 .mean = mean.as<T>(),
                                 .rstd = rstd.as<T>(),
                                 .weight = weight.as<W>(),
                                 .weight_offset = 0,
                                 .dx = ds.as<T>(),
                                 .rows = rows,
                                 .size = size,
                                 .heads = 1,
                                 .row_stride = size,
                                 .head_stride = 0,
                                 .other = dsum.as<T>(),
                                 .dropped = DroppedElements<Computed<T>>(dropout),
                                 .dropped_dx = dx.as<T>()};
      bool wide = true;
      for (const View* each : {&dy, &sum, &dsum, &ds, &dx}) wide = wide && wide_rows(*each, size);
      backward<T, W, true>(device_, name, a, wide, dweight, dbias);
    });
  });
}

namespace {

// Vectors of x: [rows, size], or [rows, heads, size] with strides.
struct Vectors {
  int64_t count, size, heads, row_stride, head_stride;
  bool wide;
  explicit Vectors(const View& x)
      : count(x.numel() / std::max<int64_t>(1, x.size(-1))),
        size(x.size(-1)),
        heads(x.rank == 3 ? std::max<int64_t>(1, x.size(1)) : 1),
        row_stride(x.stride(0)),
        head_stride(x.rank == 3 ? x.stride(1) : 0),
        wide(wide_rows(x, size, row_stride) && wide_rows(x, size, head_stride)) {}
};

}  // namespace

void CudaNorm::rms_norm(const View& x, const View& weight, double weight_offset, double eps, const View& y,
                        const View& rstd) {
  const char* name = "norm.rms_norm";
  with_floating(name, x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    with_parameters<T>(name, device_, weight, {}, [&](auto parameter) {
      using W = decltype(parameter);
      const Vectors v(x);
      const RmsNorm<T, W> a{x.as<T>(),
                            weight.as<W>(),
                            static_cast<C>(weight_offset),
                            static_cast<C>(eps),
                            y.as<T>(),
                            rstd.as<T>(),
                            v.count,
                            v.size,
                            v.heads,
                            v.row_stride,
                            v.head_stride};
      const bool wide = v.wide && wide_rows(weight, v.size) && wide_rows(y, v.size);
      launch(name, device_.stream, row_shape<T>(v.count, v.size).launch,
             wide ? rms_norm_kernel<T, W, kWide<T>> : rms_norm_kernel<T, W, 1>, a);
    });
  });
}

void CudaNorm::rms_norm_backward(const View& dy, const View& x, const View& rstd, const View& weight,
                                 double weight_offset, const View& dx, const View& dweight) {
  const char* name = "norm.rms_norm_backward";
  with_floating(name, dy.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    with_parameters<T>(name, device_, weight, {}, [&](auto parameter) {
      using W = decltype(parameter);
      const Vectors v(x);
      const NormBackward<T, W> a{
          dy.as<T>(), x.as<T>(), nullptr, rstd.as<T>(), weight.as<W>(), static_cast<Computed<T>>(weight_offset),
          dx.as<T>(), v.count,   v.size,  v.heads,      v.row_stride,   v.head_stride};
      const bool wide = v.wide && wide_rows(dy, v.size) && wide_rows(dx, v.size);
      backward<T, W, false>(device_, name, a, wide, dweight, {});
    });
  });
}

}  // namespace mica::cuda
