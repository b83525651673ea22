#pragma once
// Products of activations with weights, and what is done to the result before it is stored.

#include <span>

#include "mica/kernels/activation.h"
#include "mica/kernels/backend.h"

namespace mica {

/// What happens to x · Wᵀ before it reaches memory, in this order:
///   t = product + bias;  t = activation(t);  t = t + residual;  y = norm(t)
struct Epilogue {
  View bias;  ///< [out]
  Activation activation = Activation::none;
  View residual;     ///< [rows, out], row stride may exceed out; may be y itself
  View norm_weight;  ///< [out]: layer norm over the row if given
  View norm_bias;    ///< [out]
  float norm_eps = 0;
};

/// What a product of training takes and gives besides, while its result passes by. The views are contiguous, of the
/// result's dtype, and each may be empty.
struct ProductExtras {
  Activation activation = Activation::none;
  /// [m, n]: the result is multiplied by activation'(before), as the gradient that passes back through an activation of
  /// `before`; not with `add`.
  View before;
  /// [m, n], written: activation(c), or, where given, of `before`.
  View activated;
  /// [m] and [n], written: the sums of op(a) and of op(b) over the depth, as the gradient of a bias is. The factor is
  /// contiguous, its depth the first dimension (transpose_a, not transpose_b).
  View a_sums, b_sums;
};

/// Weights in the order in which the backend's product reads them. Made once per layer, used until the weight changes.
struct PackedWeight {
  void* data = nullptr;  ///< in device memory
  int64_t out = 0, in = 0;
  DType dtype = DType::float32;  ///< of the product: float32 or bfloat16 (where the device computes in it)
};

/// One layer of a chain.
struct ChainStep {
  PackedWeight weight;
  Epilogue epilogue;  ///< its residual may be the y of an earlier step
  View y;             ///< [rows, out]; empty where only the next step reads it
};

class ExpertsKernels;

class LinearKernels {
 public:
  virtual ~LinearKernels() = default;

  /// c[m, n] = alpha * op(a) · op(b) + beta * c, for each of the leading batch dimensions (rank 2 to 4; a and b may
  /// have stride 0 there). op transposes the last two dimensions when asked for. One dtype; the last dimension of each
  /// operand has stride 1. beta is 0 or 1 (0 never reads c).
  virtual void matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha,
                      double beta) = 0;

  /// c[m, n] = op(a) · op(b) + bias (+ c when add), of rank 2: the products of training, whose factors come as they are
  /// and are used but once or twice. One dtype, but that c and the sums may be float32 where a and b have 16 bits; the
  /// last dimension of each operand has stride 1; bias [n] may be empty.
  /// `factors`: bfloat16 rounds a and b to it where the device multiplies that faster, else float32. Sums are of c's
  /// dtype either way; they may be grouped otherwise than matmul()'s, but not by m.
  virtual void product(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& bias,
                       const View& c, DType factors, bool add, const ProductExtras& extras = {}) = 0;

  /// y[rows, out] = epilogue(x[rows, in] · weight[out, in]ᵀ). x and y of one dtype, their last dimension with stride 1;
  /// the weight may have another floating dtype, and, but in float64, any strides. The product runs in
  /// packed_dtype(weight's), and has the bits of forward_packed(). Reads the weight where it lies.
  virtual void forward(const View& x, const View& weight, const Epilogue& epilogue, const View& y) = 0;

  /// The dtype in which products with weights of this dtype run here when weights are packed.
  virtual DType packed_dtype(DType weight_dtype) const = 0;
  /// Bytes that pack() needs for `out` rows of `in` elements.
  virtual int64_t packed_bytes(int64_t out, int64_t in, DType packed_dtype) const = 0;
  /// Packs weight[rows, in] as the rows [first_row, first_row + rows) of a packed weight of packed.out rows, so that
  /// several layers that share their input (query, key and value) become one product. All rows must be packed before
  /// use.
  virtual void pack(const View& weight, int64_t first_row, const PackedWeight& packed) = 0;
  /// As forward(), with the packed weight. x and y are activations of activation_dtype.
  virtual void forward_packed(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y) = 0;
  /// Layer after layer on the same rows: each step's x is the y of the one before, the first's is `x`; the last one has
  /// a y. The same results as forward_packed() step by step; rows between two steps need not reach memory.
  virtual void forward_packed_chain(const View& x, std::span<const ChainStep> steps) = 0;

  /// Products of all experts of a mixture at once, with their routing on the device (kernels/experts.h); null where it
  /// is better to look at the routing and to multiply an expert at a time.
  virtual ExpertsKernels* experts() { return nullptr; }
};

}  // namespace mica
