// Copies between layouts and dtypes, fill, arange.

#include "mica/kernels/shape.h"

#include <cstring>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/walk.h"

namespace mica {

using namespace cpu;

void CpuShape::copy(const View& x, const View& y) {
  walk<2>({x, y}, [&](const Run<2>& run) {
    convert(run.data[0], x.dtype, run.strides[0], run.data[1], y.dtype, run.strides[1], run.size);
  });
}

void CpuShape::fill(const View& y, double value) {
  uint64_t element = 0;
  store(&value, &element, y.dtype, 1, 1);
  walk<1>({y},
          [&](const Run<1>& run) { convert(&element, y.dtype, 0, run.data[0], y.dtype, run.strides[0], run.size); });
}

void CpuShape::put_rows(const View& x, const View& index, const View& y) {
  const auto* rows = index.as<const int64_t>();
  const auto size = static_cast<size_t>(x.size(2) * item_size(x.dtype));
  for (int64_t i = 0; i < x.size(0); ++i) {
    for (int64_t head = 0; head < x.size(1); ++head) {
      const int64_t from = i * x.stride(0) + head * x.stride(1), to = rows[i] * y.stride(0) + head * y.stride(1);
      std::memcpy(y.as<char>() + to * item_size(y.dtype), x.as<const char>() + from * item_size(x.dtype), size);
    }
  }
}

void CpuShape::arange(double start, double step, const View& y) {
  for (int64_t i = 0; i < y.numel(); ++i) {
    const double value = start + static_cast<double>(i) * step;
    store(&value, y.as<char>() + i * y.stride(0) * item_size(y.dtype), y.dtype, 1, 1);
  }
}

}  // namespace mica
