// C = alpha op(A) · op(B) + beta C.
//
// Must do 2 * rows * columns * depth operations. B is packed into panels as weights are, by all threads, a part of 8 MB
// at a time, which costs as much as about 10 rows of A; then the product of packed weights does the rest. A transposed
// A is turned tile by tile while its block is read (product.cpp). Many small products of a batch go to threads whole.

#include "mica/kernels/cpu/simd/matmul.h"

#include <algorithm>
#include <cstring>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/packed_linear.h"
#include "mica/kernels/cpu/simd/product.h"
#include "mica/kernels/cpu/simd/scratch.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kPackedFloats = 2 * 1024 * 1024;

// Element (k, column) at data + k * depth_stride + column * column_stride; one of the strides is 1.
struct Right {
  const float* data;
  int64_t depth_stride, column_stride;
};

void pack_vector(const Right& b, const TileKernels& kernels, int64_t depth, int64_t column, int64_t columns, float* to,
                 int64_t to_row) {
  const float* from = b.data + column * b.column_stride;
  if (b.column_stride != 1) return transpose_rows(from, b.column_stride, columns, depth, to, to_row);
  const auto bytes = static_cast<size_t>(columns) * sizeof(float);
  for (int64_t k = 0; k < depth; ++k) {
    float* row = to + k * to_row;
    std::memcpy(row, from + k * b.depth_stride, bytes);
    std::fill(row + columns, row + kernels.lanes, 0.0F);
  }
}

// The columns [first, first + product.columns) of b into panels.
void pack(const Right& b, int64_t first, const Product& product, float* panels) {
  const TileKernels& kernels = *product.kernels;
  const int64_t width = kernels.width(), depth = product.depth, lanes = kernels.lanes;
  // Copies go by whole panels, so that the reads of a row of B follow each other; both kinds write whole vectors.
  parallel_for(product.panel_count(), std::max<int64_t>(1, 16384 / (width * depth + 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t panel = begin; panel < end; ++panel) {
                   const int64_t columns = std::min(width, product.columns - panel * width);
                   const int64_t panel_width = (columns + lanes - 1) / lanes * lanes;
                   float* to = panels + panel * width * depth;
                   if (b.column_stride == 1 && columns == panel_width) {
                     const float* from = b.data + first + panel * width;
                     const auto bytes = static_cast<size_t>(columns) * sizeof(float);
                     for (int64_t k = 0; k < depth; ++k)
                       std::memcpy(to + k * panel_width, from + k * b.depth_stride, bytes);
                     continue;
                   }
                   for (int64_t c = 0; c < columns; c += lanes)
                     pack_vector(b, kernels, depth, first + panel * width + c, std::min(lanes, columns - c), to + c,
                                 panel_width);
                 }
               });
}

// product.panels is filled in here, part after part of the columns.
void multiply_unpacked(const Product& whole, const Right& b) {
  const int64_t width = whole.kernels->width();
  const int64_t part = std::max<int64_t>(16, kPackedFloats / (width * std::max<int64_t>(1, whole.depth))) * width;
  for (int64_t first = 0; first < whole.columns; first += part) {
    Product product = whole;
    product.columns = std::min(part, whole.columns - first);
    product.norm = nullptr;
    float* panels = scratch(Scratch::shared, packed_floats(*whole.kernels, product.columns, whole.depth));
    pack(b, first, product, panels);
    product.panels = panels;
    product.finish.y += first;
    product.activation = whole.activation.at(0, first);
    if (product.finish.bias != nullptr) product.finish.bias += first;
    if (product.finish.residual != nullptr) product.finish.residual += first;
    if (part >= whole.columns) product.norm = whole.norm;
    multiply(product);
  }
  if (whole.norm != nullptr && part < whole.columns) layer_norm(*whole.norm, whole.rows);
}

}  // namespace

void matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha, double beta,
            const float* bias, const TileActivation& activation) {
  const int dims = c.rank - 2;
  int64_t batches = 1;
  for (int d = 0; d < dims; ++d) batches *= c.size(d);
  const auto one = [&](int64_t batch) {
    int64_t a_offset = 0, b_offset = 0, c_offset = 0;
    for (int d = dims; d-- > 0;) {
      const int64_t index = batch % c.size(d);
      batch /= c.size(d);
      a_offset += index * a.stride(d);
      b_offset += index * b.stride(d);
      c_offset += index * c.stride(d);
    }
    Product product;
    product.kernels = &tile_kernels();
    product.a = a.as<const float>() + a_offset;
    product.a_row = transpose_a ? 1 : a.stride(-2);
    product.a_depth = transpose_a ? a.stride(-2) : 1;
    product.rows = c.size(-2);
    product.columns = c.size(-1);
    product.depth = a.size(transpose_a ? -2 : -1);
    product.finish.scale = static_cast<float>(alpha);
    product.finish.bias = bias;
    product.activation = activation;
    product.finish.y = c.as<float>() + c_offset;
    product.finish.y_row = c.stride(-2);
    if (beta != 0) {
      product.finish.residual = product.finish.y;
      product.finish.residual_row = product.finish.y_row;
    }
    const Right right{b.as<const float>() + b_offset, transpose_b ? 1 : b.stride(-2), transpose_b ? b.stride(-2) : 1};
    multiply_unpacked(product, right);
  };
  // Few large products share the threads inside each; many small ones are spread over them.
  const int64_t threads = num_threads();
  if (batches % threads == 0 || batches >= 4 * threads) {
    const int64_t work = c.size(-2) * c.size(-1) * a.size(transpose_a ? -2 : -1);
    parallel_for(batches, std::max<int64_t>(1, 32768 / (work + 1)), [&](int64_t begin, int64_t end) {
      for (int64_t batch = begin; batch < end; ++batch) one(batch);
    });
    return;
  }
  for (int64_t batch = 0; batch < batches; ++batch) one(batch);
}

void linear_in_parts(Product product, const View& weight) {
  product.kernels = &tile_kernels();
  multiply_unpacked(product, {weight.as<const float>(), weight.stride(1), weight.stride(0)});
}

}  // namespace mica::cpu::simd
