// y = epilogue(x · Wᵀ) with W in panels.
//
// Must do 2 * rows * in * out operations and read W once; product.cpp says how. Packing W once per layer is what lets a
// few rows run as fast as many: a product that packs as it goes pays for the packing as much as for 20 rows.

#include "mica/kernels/cpu/simd/packed_linear.h"

#include <algorithm>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/convert.h"
#include "mica/kernels/cpu/simd/product.h"
#include "mica/kernels/cpu/simd/scratch.h"

namespace mica::cpu::simd {
namespace {

const TileKernels& kernels_for(DType packed_dtype) {
  return packed_dtype == DType::bfloat16 ? *best_bfloat16_tile_kernels() : tile_kernels();
}

int64_t words_for(DType packed_dtype, int64_t depth) {
  return packed_dtype == DType::bfloat16 ? (depth + 1) / 2 : depth;
}

// One row of the weight as words.
void read_row(const View& weight, int64_t row, DType packed_dtype, float* words) {
  const int64_t count = weight.size(1);
  const auto* from = weight.as<const char>() + row * weight.stride(0) * item_size(weight.dtype);
  if (packed_dtype == DType::bfloat16 && count % 2 != 0) words[count / 2] = 0;
  convert(from, weight.dtype, weight.stride(1), words, packed_dtype, 1, count);
}

// The rows [row, row + rows) of the packed weight, which lie in one vector of a panel, from lane `lane` on. A whole
// vector is transposed in registers; a part, where two calls share a vector, word by word.
void pack_rows(const float* source, int64_t words, int64_t rows, int64_t lane, bool fill, const TileKernels& kernels,
               float* to, int64_t to_row) {
  if (lane == 0 && (fill || rows == kernels.lanes)) return transpose_rows(source, words, rows, words, to, to_row);
  for (int64_t k = 0; k < words; ++k) {
    for (int64_t r = 0; r < rows; ++r) to[k * to_row + lane + r] = source[r * words + k];
    if (fill)
      for (int64_t r = lane + rows; r < kernels.lanes; ++r) to[k * to_row + r] = 0;
  }
}

}  // namespace

DType packed_dtype(DType weight_dtype) {
  const bool half = weight_dtype == DType::bfloat16 && bfloat16_tile_kernels() != nullptr;
  return half ? DType::bfloat16 : DType::float32;
}

int64_t packed_bytes(int64_t out, int64_t in, DType packed_dtype) {
  return packed_floats(kernels_for(packed_dtype), out, words_for(packed_dtype, in)) * 4;
}

void pack_weight(const View& weight, int64_t first_row, const PackedWeight& packed) {
  if (!is_floating(weight.dtype)) unsupported("linear.pack", weight.dtype, Device());
  const TileKernels& kernels = kernels_for(packed.dtype);
  const int64_t words = words_for(packed.dtype, packed.in), width = kernels.width(), lanes = kernels.lanes;
  const int64_t rows = weight.size(0), first_vector = first_row / lanes;
  const int64_t vectors = rows > 0 ? (first_row + rows - 1) / lanes + 1 - first_vector : 0;
  auto* data = static_cast<float*>(packed.data);
  const int64_t grain = std::max<int64_t>(1, 65536 / (lanes * (packed.in + 1)));
  parallel_for(vectors, grain, [&](int64_t begin, int64_t end) {
    float* source = scratch(Scratch::rows, lanes * words);
    for (int64_t v = first_vector + begin; v < first_vector + end; ++v) {
      const int64_t first = std::max(first_row, v * lanes), last = std::min(first_row + rows, (v + 1) * lanes);
      for (int64_t row = first; row < last; ++row) {
        float* to = source + (row - first) * words;
        read_row(weight, row - first_row, packed.dtype, to);
      }
      const int64_t column = v * lanes, panel = column / width;
      const int64_t columns = std::min(width, packed.out - panel * width);
      const int64_t panel_width = (columns + lanes - 1) / lanes * lanes;
      float* to = data + panel * width * words + column - panel * width;
      pack_rows(source, words, last - first, first - column, last == packed.out, kernels, to, panel_width);
    }
  });
}

Product linear_product(const View& x, int64_t out, const Epilogue& epilogue, const View& y, LayerNorm& norm) {
  Product product;
  product.a = x.as<const float>();
  product.a_row = x.stride(0);
  product.rows = x.size(0);
  product.columns = out;
  product.depth = x.size(1);
  product.finish.bias = epilogue.bias.as<const float>();
  product.finish.activation = epilogue.activation;
  if (epilogue.residual) {
    product.finish.residual = epilogue.residual.as<const float>();
    product.finish.residual_row = epilogue.residual.stride(0);
  }
  product.finish.y = y.as<float>();
  product.finish.y_row = y.stride(0);
  if (epilogue.norm_weight) {
    norm.x = norm.y = product.finish.y;
    norm.x_row = norm.y_row = product.finish.y_row;
    norm.weight = epilogue.norm_weight.as<const float>();
    norm.bias = epilogue.norm_bias.as<const float>();
    norm.epsilon = epilogue.norm_eps;
    norm.size = out;
    product.norm = &norm;
  }
  return product;
}

namespace {

Product packed_product(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y,
                       LayerNorm& norm) {
  Product product = linear_product(x, weight.out, epilogue, y, norm);
  product.kernels = &kernels_for(weight.dtype);
  product.bfloat16 = weight.dtype == DType::bfloat16;
  product.panels = static_cast<const float*>(weight.data);
  return product;
}

}  // namespace

void packed_linear(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y) {
  LayerNorm norm;
  multiply(packed_product(x, weight, epilogue, y, norm));
}

void packed_linear_here(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y) {
  LayerNorm norm;
  const Product product = packed_product(x, weight, epilogue, y, norm);
  multiply_block(product, 0, product.rows, 0, product.panel_count());
}

}  // namespace mica::cpu::simd
