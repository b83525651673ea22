#pragma once
// Linear layers on packed weights in float32 and bfloat16: the packed half of LinearKernels.

#include "mica/kernels/cpu/simd/product.h"
#include "mica/kernels/linear.h"

namespace mica::cpu::simd {

DType packed_dtype(DType weight_dtype);
int64_t packed_bytes(int64_t out, int64_t in, DType packed_dtype);
/// weight: any floating dtype and strides.
void pack_weight(const View& weight, int64_t first_row, const PackedWeight& packed);
/// x and y: float32, as all views of the epilogue.
void packed_linear(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y);

/// The same on this thread alone.
void packed_linear_here(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y);

/// The product that both kinds of linear layer make of their operands, all but kernels and panels. `norm` is filled in,
/// and pointed to, if the epilogue has a norm.
Product linear_product(const View& x, int64_t out, const Epilogue& epilogue, const View& y, LayerNorm& norm);

}  // namespace mica::cpu::simd
