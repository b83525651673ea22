#pragma once
// Mixtures of experts whose routing stays on the device: which expert gets which row, the rows in the order of their
// experts, and the products of all experts in one call, however many rows each of them has.
//
// Places: the rows * k choices of a batch, sorted by expert, and within an expert by row. Expert e has the places
// [offsets[e], offsets[e + 1]); place p is that of the choice places[p] (of [rows, k] read as one line), and slots[r,
// j] is the place of choice j of row r.

#include "mica/kernels/backend.h"

namespace mica {

/// Which rows each expert gets. All in device memory, contiguous.
struct ExpertPlaces {
  View offsets;  ///< int32 [experts + 1]
  View places;   ///< int64 [rows * k]
  View slots;    ///< int64 [rows, k]

  int64_t experts() const { return offsets.size(0) - 1; }
  int64_t rows() const { return slots.size(0); }
};

/// Matrices [out, in] of all experts, of one dtype and one layout, told by their addresses: they may be parameters of
/// their own, or the slices of a stack. With several parts (gate and up) each expert has so many matrices, whose
/// results stand side by side.
struct ExpertMatrices {
  View addresses;  ///< int64 [parts, experts]: of each first element, in device memory, contiguous
  DType dtype = DType::float32;
  int64_t out = 0, in = 0;
  int64_t out_stride = 0, in_stride = 0;  ///< one of them is 1
  bool aligned = false;                   ///< to 16 bytes, all addresses
};

/// Vectors [out] likewise, dense.
struct ExpertVectors {
  View addresses;  ///< int64 [parts, experts]; empty: none
  DType dtype = DType::float32;
};

/// By which rules experts are chosen.
struct ExpertChoice {
  View correction;  ///< [experts], of the scores' dtype, added to the scores for the choice alone; empty: none
  int64_t groups = 1, chosen_groups = 1;
};

class ExpertsKernels {
 public:
  virtual ~ExpertsKernels() = default;

  /// experts (int64) and weights [rows, k]: the k best of each row of scores [rows, experts], best first, of equal ones
  /// the first, and their scores. With groups (experts that stand side by side, equally many each) only those of the
  /// chosen_groups best ones are asked; a group is as good as its two best experts together. Contiguous, one dtype.
  virtual void choose(const View& scores, const ExpertChoice& choice, const View& experts, const View& weights) = 0;
  /// dscores[r, e] = dweights[r, j] where experts[r, j] is e, else 0.
  virtual void choose_backward(const View& experts, const View& dweights, const View& dscores) = 0;

  /// Writes the places of experts [rows, k], each in [0, places.experts()), those of a row all different.
  virtual void order(const View& experts, const ExpertPlaces& places) = 0;

  /// y[p, :] = x[row of place p, :], or that times weights[the place's choice]. x [rows, size], y [rows * k, size],
  /// weights [rows, k] or empty; contiguous, one dtype. It is also the gradient's way back through combine().
  virtual void gather(const View& x, const View& weights, const ExpertPlaces& places, const View& y) = 0;
  /// y[r, :] = the sum of weights[r, j] x[slots[r, j], :] in the order of j; without weights of the rows as they are,
  /// the gradient's way back through gather().
  virtual void combine(const View& x, const View& weights, const ExpertPlaces& places, const View& y) = 0;
  /// dweights[r, j] = the sum over the columns of dy[r, :] x[slots[r, j], :].
  virtual void combine_weights_backward(const View& dy, const View& x, const ExpertPlaces& places,
                                        const View& dweights) = 0;

  /// y[p, part * out + o] = the sum over i of x[p, i] w[part, expert of p][o, i], + bias (+ y where `add`), for all
  /// places. x [rows * k, in] and y [rows * k, parts * out] of one dtype, last stride 1, any row stride. Factors are
  /// multiplied as `factors`, to which they are rounded: float32, float16, bfloat16 or float64.
  virtual void product(const View& x, const ExpertMatrices& weights, const ExpertVectors& biases,
                       const ExpertPlaces& places, DType factors, bool add, const View& y) = 0;
  /// c[part, e, m, n] = the sum over the places p of expert e of a[p, part * size + m] b[p, n]; zeros for an expert
  /// without places. a [rows * k, parts * size], b [rows * k, n], last stride 1; c [parts, experts, size, n]
  /// contiguous, of their dtype, or float32 where they have 16 bits.
  virtual void weight_gradients(const View& a, const View& b, const ExpertPlaces& places, DType factors,
                                const View& c) = 0;
};

}  // namespace mica
