// Matrix products. float32 and bfloat16 go to the SIMD kernels; the plain form serves float64. Bias, activation and
// residual are applied to each tile before it is stored; layer norm runs over the finished rows.

#include "mica/kernels/linear.h"

#include <algorithm>
#include <vector>

#include "mica/base/checked.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/pointwise.h"
#include "mica/kernels/cpu/product.h"
#include "mica/kernels/cpu/simd/matmul.h"
#include "mica/kernels/cpu/simd/packed_chain.h"
#include "mica/kernels/cpu/simd/packed_linear.h"
#include "mica/kernels/cpu/simd/pieces.h"
#include "mica/kernels/cpu/simd/stored_linear.h"
#include "mica/kernels/cpu/simd/sums.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

template <typename T>
void forward(const View& x, const void* weight, DType weight_dtype, int64_t weight_row, int64_t out,
             const Epilogue& epilogue, const View& y) {
  const int64_t rows = x.size(0);
  const T* bias = parameter<T>(epilogue.bias, Scratch::parameter_a);
  const Product<T> operands{.m = rows,
                            .n = out,
                            .k = x.size(1),
                            .a = x.as<const T>(),
                            .a_row = x.stride(0),
                            .a_k = 1,
                            .b = weight,
                            .b_dtype = weight_dtype,
                            .b_k = 1,
                            .b_column = weight_row};
  product<T>(operands, [&](int64_t row, int64_t column, int64_t count, int64_t columns, const T* tile) {
    for (int64_t r = 0; r < count; ++r) {
      T values[kPanel<T>];
      for (int64_t i = 0; i < columns; ++i) {
        values[i] = tile[r * kPanel<T> + i] + (bias != nullptr ? bias[column + i] : T(0));
      }
      if (epilogue.activation != Activation::none) activate(epilogue.activation, values, values, columns);
      if (epilogue.residual) {
        const T* residual = epilogue.residual.as<const T>() + (row + r) * epilogue.residual.stride(0) + column;
        for (int64_t i = 0; i < columns; ++i) values[i] += residual[i];
      }
      std::copy_n(values, columns, y.as<T>() + (row + r) * y.stride(0) + column);
    }
  });
  if (!epilogue.norm_weight) return;
  const T* norm_weight = parameter<T>(epilogue.norm_weight, Scratch::parameter_a);
  const T* norm_bias = parameter<T>(epilogue.norm_bias, Scratch::parameter_b);
  parallel_for(rows, row_grain(4 * out), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      T* values = y.as<T>() + row * y.stride(0);
      layer_norm_row<T>(values, norm_weight, norm_bias, static_cast<double>(epilogue.norm_eps), out, values, nullptr,
                        nullptr);
    }
  });
}

template <typename T>
void matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha,
            double beta) {
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
    const Product<T> operands{.m = c.size(-2),
                              .n = c.size(-1),
                              .k = a.size(transpose_a ? -2 : -1),
                              .a = a.as<const T>() + a_offset,
                              .a_row = transpose_a ? 1 : a.stride(-2),
                              .a_k = transpose_a ? a.stride(-2) : 1,
                              .b = b.as<const T>() + b_offset,
                              .b_dtype = b.dtype,
                              .b_k = transpose_b ? 1 : b.stride(-2),
                              .b_column = transpose_b ? b.stride(-2) : 1};
    product_into<T>(operands, static_cast<T>(alpha), beta != 0, c.as<T>() + c_offset, c.stride(-2));
  };
  // Few large products share the threads inside each; many small ones are spread over them.
  if (batches < num_threads()) {
    for (int64_t batch = 0; batch < batches; ++batch) one(batch);
    return;
  }
  const int64_t work = c.size(-2) * c.size(-1) * a.size(transpose_a ? -2 : -1);
  parallel_for(batches, row_grain(work / 8), [&](int64_t begin, int64_t end) {
    for (int64_t batch = begin; batch < end; ++batch) one(batch);
  });
}

// Of products in float32: whether taking the factors to pieces pays. Not a matter of m, so that a row's bits do not
// depend on how many there are.
bool by_pieces(DType factors, int64_t columns, int64_t depth) {
  return columns >= 8 && depth >= 8 && simd::multiplies_pieces(factors == DType::bfloat16 ? 1 : 3);
}

// Of a factor over its first dimension, the depth.
void depth_sums(const View& factor, const View& sums) {
  const int64_t depth = factor.size(0), size = factor.size(1);
  if (factor.dtype == DType::float32)
    return simd::column_sums(factor.as<const float>(), factor.stride(0), depth, size, sums.as<float>());
  View rows = factor;
  rows.rank = 3;
  rows.shape = {1, depth, size};
  rows.strides = {depth * size, size, 1};
  View result = sums;
  result.rank = 2;
  result.shape = {1, size};
  result.strides = {size, 1};
  CpuReduce().reduce(ReduceOp::sum, rows, result);
}

// The same epilogue with its parameter vectors as contiguous float32.
Epilogue in_float32(Epilogue epilogue) {
  const auto convert_vector = [](View& vector, Scratch use) {
    if (!vector) return;
    vector.data = const_cast<float*>(parameter<float>(vector, use));
    vector.dtype = DType::float32;
    vector.strides[0] = 1;
  };
  convert_vector(epilogue.bias, Scratch::parameter_a);
  convert_vector(epilogue.norm_weight, Scratch::parameter_b);
  convert_vector(epilogue.norm_bias, Scratch::parameter_c);
  return epilogue;
}

}  // namespace
}  // namespace cpu

using namespace cpu;

void CpuLinear::matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha,
                       double beta) {
  if (c.dtype == DType::float32) return simd::matmul(a, transpose_a, b, transpose_b, c, alpha, beta);
  with_floating("linear.matmul", c.dtype,
                [&](auto tag) { cpu::matmul<decltype(tag)>(a, transpose_a, b, transpose_b, c, alpha, beta); });
}

void CpuLinear::product(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& bias,
                        const View& c, DType factors, bool add, const ProductExtras& extras) {
  if (extras.a_sums) depth_sums(a, extras.a_sums);
  if (extras.b_sums) depth_sums(b, extras.b_sums);
  const simd::TileActivation activation{.activation = extras.activation,
                                        .before = extras.before.as<const float>(),
                                        .activated = extras.activated.as<float>(),
                                        .row = c.size(1)};
  const float* addend = c.dtype == DType::float32 ? parameter<float>(bias, Scratch::parameter_a) : nullptr;
  const int64_t depth = a.size(transpose_a ? 0 : 1);
  if (c.dtype == DType::float32 && by_pieces(factors, c.size(1), depth)) {
    return simd::multiply_pieces({.a = a.as<const float>(),
                                  .a_row = transpose_a ? 1 : a.stride(0),
                                  .a_depth = transpose_a ? a.stride(0) : 1,
                                  .b = b.as<const float>(),
                                  .b_depth = transpose_b ? 1 : b.stride(0),
                                  .b_column = transpose_b ? b.stride(0) : 1,
                                  .bias = addend,
                                  .c = c.as<float>(),
                                  .c_row = c.stride(0),
                                  .add = add,
                                  .activation = activation,
                                  .rows = c.size(0),
                                  .columns = c.size(1),
                                  .depth = depth},
                                 factors == DType::bfloat16 ? 1 : 3);
  }
  if (c.dtype == DType::float32) {
    return simd::matmul(a, transpose_a, b, transpose_b, c, 1, add ? 1 : 0, addend, activation);
  }
  with_floating("linear.product", c.dtype, [&](auto tag) {
    using T = decltype(tag);
    cpu::matmul<T>(a, transpose_a, b, transpose_b, c, 1, add ? 1 : 0);
    const T* row = parameter<T>(bias, Scratch::parameter_a);
    for (int64_t r = 0; row != nullptr && r < c.size(0); ++r)
      for (int64_t i = 0; i < c.size(1); ++i) c.as<T>()[r * c.stride(0) + i] += row[i];
    for (int64_t r = 0; (extras.before || extras.activated) && r < c.size(0); ++r) {
      const int64_t n = c.size(1);
      T* result = c.as<T>() + r * c.stride(0);
      const T* x = extras.before ? extras.before.as<const T>() + r * n : result;
      if (extras.activated) activate(extras.activation, x, extras.activated.as<T>() + r * n, n);
      if (extras.before) activate_backward(extras.activation, x, result, result, n);
    }
  });
}

void CpuLinear::forward(const View& x, const View& weight, const Epilogue& epilogue, const View& y) {
  if (x.dtype == DType::float32) return simd::linear(x, weight, in_float32(epilogue), y);
  with_floating("linear.forward", x.dtype, [&](auto tag) {
    cpu::forward<decltype(tag)>(x, weight.data, weight.dtype, weight.stride(0), weight.size(0), epilogue, y);
  });
}

DType CpuLinear::packed_dtype(DType weight_dtype) const {
  return weight_dtype == DType::float64 ? DType::float64 : simd::packed_dtype(weight_dtype);
}

int64_t CpuLinear::packed_bytes(int64_t out, int64_t in, DType packed_dtype) const {
  const int64_t plain = checked_mul(checked_mul(out, in, "linear.pack"), item_size(packed_dtype), "linear.pack");
  return packed_dtype == DType::float64 ? plain : simd::packed_bytes(out, in, packed_dtype);
}

// float64 is packed row-major, as the weight itself; the others in panels.
void CpuLinear::pack(const View& weight, int64_t first_row, const PackedWeight& packed) {
  if (packed.dtype != DType::float64) {
    if (packed.dtype != DType::float32 && packed.dtype != simd::packed_dtype(DType::bfloat16))
      unsupported("linear.pack", packed.dtype, Device{});
    return simd::pack_weight(weight, first_row, packed);
  }
  const int64_t row_bytes = packed.in * item_size(packed.dtype);
  parallel_for(weight.size(0), row_grain(packed.in), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      convert(weight.as<const char>() + row * weight.stride(0) * item_size(weight.dtype), weight.dtype,
              weight.stride(1), static_cast<char*>(packed.data) + (first_row + row) * row_bytes, packed.dtype, 1,
              packed.in);
    }
  });
}

void CpuLinear::forward_packed(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y) {
  if (weight.dtype != DType::float64) {
    if (x.dtype != DType::float32) unsupported("linear.forward_packed", x.dtype, Device{});
    return simd::packed_linear(x, weight, in_float32(epilogue), y);
  }
  with_floating("linear.forward_packed", x.dtype, [&](auto tag) {
    cpu::forward<decltype(tag)>(x, weight.data, weight.dtype, weight.in, weight.out, epilogue, y);
  });
}

void CpuLinear::forward_packed_chain(const View& x, std::span<const ChainStep> steps) {
  bool simple = x.dtype == DType::float32;
  for (const ChainStep& step : steps) {
    simple = simple && step.weight.dtype != DType::float64;
    for (const View* vector : {&step.epilogue.bias, &step.epilogue.norm_weight, &step.epilogue.norm_bias})
      simple = simple && (!*vector || (vector->dtype == DType::float32 && vector->stride(0) == 1));
  }
  if (simple) return simd::packed_chain(x, steps);
  // One by one, with whole rows between the steps in memory.
  std::vector<std::vector<double>> memory;
  View input = x;
  for (const ChainStep& step : steps) {
    View y = step.y;
    if (!y) {
      memory.emplace_back(static_cast<size_t>(x.size(0) * step.weight.out));
      y.data = memory.back().data();
      y.dtype = x.dtype;
      y.rank = 2;
      y.shape = {x.size(0), step.weight.out};
      y.strides = {step.weight.out, 1};
    }
    forward_packed(input, step.weight, step.epilogue, y);
    input = y;
  }
}

}  // namespace mica
