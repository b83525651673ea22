#include "mica/tensor/quantized_weight.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "mica/base/error.h"
#include "mica/base/parallel.h"

namespace mica {
namespace {

constexpr int64_t kGroup = 32;  // numbers of MXFP4 with a scale
constexpr int64_t kUsualBlock = 128;

// Sign, two bits of exponent, one of the fraction.
constexpr std::array<float, 16> kE2m1 = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6};

// E8M0: a power of two; the last is no number.
float power(uint8_t e8m0) {
  return e8m0 == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, static_cast<int>(e8m0) - 127);
}

[[noreturn]] void unfit(const TensorEntry& values, const TensorEntry& scales) {
  throw Error("scales " + to_string(scales.shape) + " of " + std::string(scales.type) + " for \"" +
                  printable(values.name) + "\", " + to_string(values.shape) + " of " + std::string(values.type),
              "tensor \"" + printable(scales.name) + "\"", "fetch the checkpoint again");
}

// Rows or columns that share a scale where `count` of them have `scales`; 0: they fit no block. Where blocks of 128
// fit, the last may be short; others divide evenly.
int64_t block_of(int64_t count, int64_t scales) {
  if (scales < 1 || scales > count) return 0;
  if (scales == 1) return count;
  if ((count + kUsualBlock - 1) / kUsualBlock == scales) return kUsualBlock;
  return count % scales == 0 ? count / scales : 0;
}

struct Grid {
  int64_t matrices = 1, rows = 0, columns = 0;
  int64_t row_block = 0, column_block = 0;  // numbers that share a scale
  int64_t scale_rows = 0, scale_columns = 0;
  bool one_scale = false;
};

// How scales cover the matrices of a tensor of float8.
Grid grid_of(const TensorEntry& values, const TensorEntry& scales) {
  const Shape& shape = values.shape;
  Grid grid;
  grid.rows = shape[shape.rank() - 2];
  grid.columns = shape[shape.rank() - 1];
  if (shape.rank() == 3) grid.matrices = shape[0];
  const Shape& by = scales.shape;
  if (by.numel() == 1) {
    grid.one_scale = true;
    grid.scale_rows = grid.scale_columns = 1;
    grid.row_block = std::max<int64_t>(grid.rows, 1);
    grid.column_block = std::max<int64_t>(grid.columns, 1);
    return grid;
  }
  const bool one_a_row = by.rank() == shape.rank() - 1;
  if (!one_a_row && by.rank() != shape.rank()) unfit(values, scales);
  if (shape.rank() == 3 && by[0] != shape[0]) unfit(values, scales);
  grid.scale_rows = by[one_a_row ? by.rank() - 1 : by.rank() - 2];
  grid.scale_columns = one_a_row ? 1 : by[by.rank() - 1];
  grid.row_block = block_of(grid.rows, grid.scale_rows);
  grid.column_block = block_of(grid.columns, grid.scale_columns);
  if (grid.row_block == 0 || grid.column_block == 0) unfit(values, scales);
  return grid;
}

template <typename To>
void widen_float8(const uint8_t* values, bool e4m3, const std::vector<float>& scales, const Grid& grid, To* to) {
  std::array<float, 256> table{};
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] = e4m3 ? float8_e4m3_to_float(static_cast<uint8_t>(i)) : float8_e5m2_to_float(static_cast<uint8_t>(i));
  }
  parallel_for(grid.matrices * grid.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t scale_row = row / grid.rows * grid.scale_rows + row % grid.rows / grid.row_block;
      const float* const scale = grid.one_scale ? scales.data() : scales.data() + scale_row * grid.scale_columns;
      for (int64_t column = 0; column < grid.columns; ++column) {
        const int64_t at = row * grid.columns + column;
        to[at] = To(table[values[at]] * scale[column / grid.column_block]);
      }
    }
  });
}

// From [matrices, out, in] to [matrices, in, out], in tiles of 32 rows by the 32 columns of a scale.
template <typename To>
void widen_mxfp4(const uint8_t* blocks, const uint8_t* scales, const Shape& shape, To* to) {
  const int64_t in = shape[1];
  const int64_t out = shape[2];
  const int64_t groups = in / kGroup;
  const int64_t tiles = (out + kGroup - 1) / kGroup;
  parallel_for(shape[0] * groups * tiles, 16, [&](int64_t begin, int64_t end) {
    std::array<std::array<float, kGroup>, kGroup> tile{};  // by column, by row
    for (int64_t i = begin; i < end; ++i) {
      const int64_t matrix = i / (groups * tiles);
      const int64_t group = i / tiles % groups;
      const int64_t first = i % tiles * kGroup;
      const int64_t rows = std::min(kGroup, out - first);
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t at = (matrix * out + first + row) * groups + group;
        const float scale = power(scales[at]);
        for (int64_t pair = 0; pair < kGroup / 2; ++pair) {
          const uint8_t two = blocks[at * (kGroup / 2) + pair];
          tile[static_cast<size_t>(2 * pair)][static_cast<size_t>(row)] = kE2m1[two & 15U] * scale;
          tile[static_cast<size_t>(2 * pair + 1)][static_cast<size_t>(row)] = kE2m1[two >> 4U] * scale;
        }
      }
      for (int64_t column = 0; column < kGroup; ++column) {
        To* const line = to + (matrix * in + group * kGroup + column) * out + first;
        for (int64_t row = 0; row < rows; ++row)
          line[row] = To(tile[static_cast<size_t>(column)][static_cast<size_t>(row)]);
      }
    }
  });
}

// Scales as numbers: floating, or the exponents of E8M0.
std::vector<float> factors(const Tensor& scales) {
  if (scales.dtype() != DType::uint8) return scales.to(DType::float32).to_vector<float>();
  std::vector<float> result;
  for (const uint8_t exponent : scales.to_vector<uint8_t>()) result.push_back(power(exponent));
  return result;
}

template <typename To>
void widen(const Checkpoint& checkpoint, const QuantizedWeight& weight, const Tensor& result) {
  const Tensor values = checkpoint.tensor(weight.values);
  const Tensor scales = checkpoint.tensor(weight.scales);
  auto* const to = static_cast<To*>(result.raw_data());
  const auto* const bytes = static_cast<const uint8_t*>(values.raw_data());
  if (weight.kind == QuantizedWeight::Kind::mxfp4) {
    return widen_mxfp4(bytes, static_cast<const uint8_t*>(scales.raw_data()), weight.shape, to);
  }
  widen_float8(bytes, values.dtype() == DType::float8_e4m3, factors(scales),
               grid_of(*checkpoint.find(weight.values), *checkpoint.find(weight.scales)), to);
}

}  // namespace

std::optional<QuantizedWeight> quantized_weight(const Checkpoint& checkpoint, const std::string& name) {
  const TensorEntry* const values = checkpoint.find(name);
  if (values == nullptr) {
    const TensorEntry* const blocks = checkpoint.find(name + "_blocks");
    const TensorEntry* const scales = checkpoint.find(name + "_scales");
    if (blocks == nullptr || scales == nullptr) return std::nullopt;
    const Shape& shape = blocks->shape;
    const bool fits = shape.rank() == 4 && shape[3] == kGroup / 2 && blocks->dtype == DType::uint8 &&
                      scales->dtype == DType::uint8 && scales->shape == Shape{shape[0], shape[1], shape[2]};
    if (!fits) unfit(*blocks, *scales);
    return QuantizedWeight{.kind = QuantizedWeight::Kind::mxfp4,
                           .values = blocks->name,
                           .scales = scales->name,
                           .shape = {shape[0], shape[2] * kGroup, shape[1]}};
  }
  if (values->dtype != DType::float8_e4m3 && values->dtype != DType::float8_e5m2) return std::nullopt;
  for (const char* suffix : {"_scale_inv", "_scale"}) {
    const TensorEntry* const scales = checkpoint.find(name + suffix);
    if (scales == nullptr) continue;
    const int rank = values->shape.rank();
    const bool numbers = scales->dtype && (is_floating(*scales->dtype) || scales->dtype == DType::uint8);
    if ((rank != 2 && rank != 3) || !numbers) unfit(*values, *scales);
    static_cast<void>(grid_of(*values, *scales));
    QuantizedWeight weight{
        .kind = QuantizedWeight::Kind::float8, .values = values->name, .scales = scales->name, .shape = values->shape};
    const std::string module = name.substr(0, name.rfind('.') + 1);
    for (const char* other : {"input_scale", "activation_scale", "input_scale_ub", "activation_scale_inv"}) {
      if (checkpoint.find(module + other) != nullptr) weight.unused.push_back(module + other);
    }
    return weight;
  }
  return std::nullopt;
}

Tensor dequantize(const Checkpoint& checkpoint, const QuantizedWeight& weight, DType dtype) {
  Tensor result = Tensor::empty(weight.shape, dtype);
  if (dtype == DType::float32) {
    widen<float>(checkpoint, weight, result);
  } else if (dtype == DType::bfloat16) {
    widen<bfloat16>(checkpoint, weight, result);
  } else {
    throw Error("weights of " + std::string(name(dtype)) + " from \"" + printable(weight.values) + "\"", "checkpoint",
                "use float32 or bfloat16");
  }
  return result;
}

}  // namespace mica
