#pragma once
// Products with bfloat16 weights that the matrix registers read where they are stored.

#include "mica/kernels/cpu/simd/product.h"
#include "mica/kernels/view.h"

namespace mica::cpu::simd {

/// The product of product.a, product.rows rows of float32, with weight [columns, depth] of bfloat16, whose rows lie
/// together; the norm is left out. The same bits as with packed weights. Only where matrix_tile_kernels() is not null.
void matrix_linear(const Product& product, const View& weight);

}  // namespace mica::cpu::simd
