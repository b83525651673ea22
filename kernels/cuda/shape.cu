// Copies between layouts and dtypes. Bytes: each element read once and written once; the floor is the memory's.
//
// Elements of one type move as bits, 16 bytes a lane where both sides are contiguous; a transposition of the last two
// dimensions goes through shared memory in tiles, so that both sides move whole sectors. Between float32, float16 and
// bfloat16 the conversion is one instruction; every other pair goes by way of double or int64, by the dtype at run
// time.

#include <cmath>
#include <limits>

#include "mica/kernels/cuda/pointwise.h"
#include "mica/kernels/shape.h"

namespace mica::cuda {
namespace {

template <typename To, typename From>
struct Convert {
  __device__ __forceinline__ To operator()(From x) const { return narrow<To>(widen(x)); }
};

template <typename T>
struct Same {
  __device__ __forceinline__ T operator()(T x) const { return x; }
};

__device__ float from_e4m3(uint8_t bits) {
  const int exponent = bits >> 3 & 15, fraction = bits & 7;
  const float magnitude = exponent == 15 && fraction == 7 ? static_cast<float>(NAN)
                          : exponent == 0                 ? static_cast<float>(fraction) * 0x1p-9F
                                          : std::ldexp(1 + static_cast<float>(fraction) / 8, exponent - 7);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

__device__ float from_e5m2(uint8_t bits) {
  float16 half;
  half.bits = static_cast<uint16_t>(bits << 8);
  return widen(half);
}

// One element of any type.
__device__ double load_double(const void* x, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::float32:
      return static_cast<const float*>(x)[i];
    case DType::float16:
      return widen(static_cast<const float16*>(x)[i]);
    case DType::bfloat16:
      return widen(static_cast<const bfloat16*>(x)[i]);
    case DType::float64:
      return static_cast<const double*>(x)[i];
    case DType::float8_e4m3:
      return from_e4m3(static_cast<const uint8_t*>(x)[i]);
    case DType::float8_e5m2:
      return from_e5m2(static_cast<const uint8_t*>(x)[i]);
    case DType::uint64:
      return static_cast<double>(static_cast<const uint64_t*>(x)[i]);
    default:
      return 0;
  }
}

__device__ int64_t load_integer(const void* x, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::int64:
    case DType::uint64:
      return static_cast<const int64_t*>(x)[i];
    case DType::int32:
      return static_cast<const int32_t*>(x)[i];
    case DType::uint32:
      return static_cast<const uint32_t*>(x)[i];
    case DType::int16:
      return static_cast<const int16_t*>(x)[i];
    case DType::uint16:
      return static_cast<const uint16_t*>(x)[i];
    case DType::int8:
      return static_cast<const int8_t*>(x)[i];
    case DType::uint8:
      return static_cast<const uint8_t*>(x)[i];
    case DType::boolean:
      return static_cast<const uint8_t*>(x)[i] != 0 ? 1 : 0;
    default:
      return 0;
  }
}

__device__ int64_t truncate(double x) {
  if (x != x) return 0;
  if (x >= 0x1p63) return std::numeric_limits<int64_t>::max();
  if (x < -0x1p63) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(x);
}

__device__ void store_integer(void* y, DType dtype, int64_t i, int64_t value) {
  switch (dtype) {
    case DType::int64:
    case DType::uint64:
      static_cast<int64_t*>(y)[i] = value;
      return;
    case DType::int32:
    case DType::uint32:
      static_cast<uint32_t*>(y)[i] = static_cast<uint32_t>(value);
      return;
    case DType::int16:
    case DType::uint16:
      static_cast<uint16_t*>(y)[i] = static_cast<uint16_t>(value);
      return;
    default:
      static_cast<uint8_t*>(y)[i] = static_cast<uint8_t>(value);
  }
}

__device__ void store_double(void* y, DType dtype, int64_t i, double value) {
  switch (dtype) {
    case DType::float32:
      static_cast<float*>(y)[i] = static_cast<float>(value);
      return;
    case DType::float16:
      static_cast<float16*>(y)[i] = narrow<float16>(round_to_odd(value));
      return;
    case DType::bfloat16:
      static_cast<bfloat16*>(y)[i] = narrow<bfloat16>(round_to_odd(value));
      return;
    case DType::float64:
      static_cast<double*>(y)[i] = value;
      return;
    case DType::boolean:
      static_cast<uint8_t*>(y)[i] = value != 0 ? 1 : 0;
      return;
    case DType::uint64:
      if (value >= 0x1p63) {
        static_cast<uint64_t*>(y)[i] =
            value >= 0x1p64 ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(value);
        return;
      }
      store_integer(y, dtype, i, truncate(value));
      return;
    default:
      store_integer(y, dtype, i, truncate(value));
  }
}

__device__ __host__ constexpr bool is_integer(DType dtype) {
  return !is_floating(dtype);
}

__global__ void convert_kernel(Layout<2> layout, const void* x, DType from, void* y, DType to) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < layout.count; i += step) {
    int64_t at[2];
    layout.offsets(i, at);
    if (!is_integer(from) || (from == DType::uint64 && !is_integer(to))) {
      store_double(y, to, at[1], load_double(x, from, at[0]));
      continue;
    }
    const int64_t value = load_integer(x, from, at[0]);
    if (to == DType::boolean) {
      static_cast<uint8_t*>(y)[at[1]] = value != 0 ? 1 : 0;
    } else if (is_integer(to)) {
      store_integer(y, to, at[1], value);
    } else if (to == DType::float32) {  // rounded once
      static_cast<float*>(y)[at[1]] = static_cast<float>(value);
    } else {
      store_double(y, to, at[1], static_cast<double>(value));
    }
  }
}

__global__ void fill_kernel(Layout<1> layout, void* y, DType dtype, double value) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < layout.count; i += step) {
    int64_t at[1];
    layout.offsets(i, at);
    store_double(y, dtype, at[0], value);
  }
}

__global__ void arange_kernel(int64_t n, int64_t stride, void* y, DType dtype, double start, double step) {
  const int64_t threads = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < n; i += threads) {
    store_double(y, dtype, i * stride, start + static_cast<double>(i) * step);
  }
}

// Tiles of a transposition: x[b, i, j] at b * x_batch + i + j * x_stride (i contiguous in x), y[b, i, j] at
// b * y_batch + i * y_stride + j.
constexpr int kTile = 32, kTileRows = 8;
template <typename T>
struct Tile {
  T at[kTile][kTile + 1];  // a column more: 32 lanes of one column lie in 32 banks
};

template <typename T>
__global__ void transpose_kernel(const T* x, int64_t x_batch, int64_t x_stride, T* y, int64_t y_batch, int64_t y_stride,
                                 int64_t rows, int64_t columns) {
  auto& tile = shared_memory<Tile<T>>();
  const int64_t i0 = int64_t{block_x()} * kTile, j0 = int64_t{block_y()} * kTile;
  x += block_z() * x_batch;
  y += block_z() * y_batch;
  for (unsigned r = thread_y(); r < kTile; r += kTileRows) {
    const int64_t i = i0 + thread_x(), j = j0 + r;
    if (i < rows && j < columns) tile.at[r][thread_x()] = x[i + j * x_stride];
  }
  block_barrier();
  for (unsigned r = thread_y(); r < kTile; r += kTileRows) {
    const int64_t i = i0 + r, j = j0 + thread_x();
    if (i < rows && j < columns) y[i * y_stride + j] = tile.at[thread_x()][r];
  }
}

// Runs the copy as a transposition when it is one; of elements of sizeof(T) bytes.
template <typename T>
bool transposed(CudaDevice& on, const Layout<2>& layout, const View& x, const View& y) {
  const int last = layout.rank - 1;
  if (layout.rank < 2 || layout.rank > 3 || layout.strides[1][last] != 1 || layout.strides[0][last - 1] != 1) {
    return false;
  }
  const int64_t rows = layout.shape[last - 1], columns = layout.shape[last];
  const int64_t batch = layout.rank == 3 ? layout.shape[0] : 1;
  if (rows < 8 || columns < 8 || batch > 65535 || ceil_div(columns, kTile) > 65535) return false;
  const LaunchShape shape{{static_cast<unsigned>(ceil_div(rows, kTile)),
                           static_cast<unsigned>(ceil_div(columns, kTile)), static_cast<unsigned>(batch)},
                          {kTile, kTileRows},
                          sizeof(Tile<T>)};
  launch("shape.transpose", on.stream, shape, transpose_kernel<T>, x.as<const T>(),
         layout.rank == 3 ? layout.strides[0][0] : 0, layout.strides[0][last], y.as<T>(),
         layout.rank == 3 ? layout.strides[1][0] : 0, layout.strides[1][last - 1], rows, columns);
  return true;
}

template <typename T>
void copy_bits(CudaDevice& on, const View& x, const View& y) {
  const auto layout = layout_of(std::array<View, 2>{x, y});
  if (layout.count == 0 || transposed<T>(on, layout, x, y)) return;
  pointwise<T, T>(on, "shape.copy", Same<T>{}, y, x);
}

bool common(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float16 || dtype == DType::bfloat16;
}

}  // namespace

void CudaShape::copy(const View& x, const View& y) {
  if (x.dtype == y.dtype) {
    switch (item_size(x.dtype)) {
      case 8:
        return copy_bits<uint64_t>(device_, x, y);
      case 4:
        return copy_bits<uint32_t>(device_, x, y);
      case 2:
        return copy_bits<uint16_t>(device_, x, y);
      default:
        return copy_bits<uint8_t>(device_, x, y);
    }
  }
  if (common(x.dtype) && common(y.dtype)) {
    with_floating("shape.copy", x.dtype, device_.device(), [&](auto from) {
      with_floating("shape.copy", y.dtype, device_.device(), [&](auto to) {
        using From = decltype(from);
        using To = decltype(to);
        if constexpr (!std::is_same_v<From, To> && !std::is_same_v<From, double> && !std::is_same_v<To, double>) {
          pointwise<To, From>(device_, "shape.copy", Convert<To, From>{}, y, x);
        }
      });
    });
    return;
  }
  if (y.dtype == DType::float8_e4m3 || y.dtype == DType::float8_e5m2) {
    unsupported("shape.copy", y.dtype, device_.device());
  }
  const auto layout = layout_of(std::array<View, 2>{x, y});
  if (layout.count == 0) return;
  launch("shape.copy", device_.stream, over(layout.count), convert_kernel, layout, x.data, x.dtype, y.data, y.dtype);
}

void CudaShape::fill(const View& y, double value) {
  if (y.dtype == DType::float8_e4m3 || y.dtype == DType::float8_e5m2) {
    unsupported("shape.fill", y.dtype, device_.device());
  }
  const auto layout = layout_of(std::array<View, 1>{y});
  if (layout.count == 0) return;
  launch("shape.fill", device_.stream, over(layout.count), fill_kernel, layout, y.data, y.dtype, value);
}

void CudaShape::arange(double start, double step, const View& y) {
  if (y.numel() == 0) return;
  launch("shape.arange", device_.stream, over(y.numel()), arange_kernel, y.numel(), y.stride(0), y.data, y.dtype, start,
         step);
}

}  // namespace mica::cuda
