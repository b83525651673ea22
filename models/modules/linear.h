#pragma once
// Linear layers: y = x · Wᵀ + b, with what follows fused in where no gradient is wanted.

#include <array>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <vector>

#include "mica/autograd/linear.h"
#include "mica/kernels/activation.h"
#include "mica/models/modules/norm.h"
#include "mica/models/scope.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// What follows a product: y = norm(dropout(activation(x · Wᵀ + b)) + residual), each step optional.
struct After {
  Activation activation = Activation::none;
  double dropout = 0;
  Tensor residual;
  const Norm* norm = nullptr;
  /// A norm that whoever comes next applies to y. Where it costs nothing by the way, *normed gets its result.
  const Norm* next = nullptr;
  Tensor* normed = nullptr;
};

/// Weights in the backend's own order, made when first needed and again after a weight was written to.
class PackedWeights;

struct ChainLayer;

class Linear {
 public:
  Linear() = default;
  /// `transposed`: the file holds the weight as [in, out].
  Linear(const Scope& scope, int64_t in, int64_t out, bool has_bias = true, bool transposed = false);
  /// With a weight of another module (tied embeddings) and a bias of its own.
  Linear(Tensor shared_weight, Tensor own_bias, const BuildOptions& options);
  /// One of the matrices of a stack, [in, out] each: what is kept of it between calls, for of() to be given the rest.
  explicit Linear(const BuildOptions& options);
  /// The same layer with these weights, [in, out], and bias, where they are now.
  Linear of(Tensor weight, Tensor bias) const;

  bool defined() const { return weight_.defined(); }
  /// [out, in], differentiable.
  Tensor weight() const;
  const Tensor& bias() const { return bias_; }
  int64_t out() const { return weight_.size(transposed_ ? 1 : 0); }
  int64_t in() const { return weight_.size(transposed_ ? 0 : 1); }
  /// Whether adapters add to its product.
  bool adapted() const { return adapters_ != nullptr && adapters_->any_active(); }

  /// x [..., in] to [..., out].
  Tensor operator()(const Tensor& x, const After& after = {}) const;

 private:
  friend Tensor chain(const Tensor& x, std::initializer_list<ChainLayer> layers);
  bool needs_tape(const Tensor& x, const After& after) const;
  /// The same by separate differentiable ops, adapters among them: the oracle of the fused form, and what training
  /// runs.
  Tensor compose(const Tensor& x, const After& after) const;
  /// One layer of a chain on the tape: takes x with an activation that is still to come, and hands its own on likewise.
  Activated step(const Activated& x, const After& after, Activation handed_on) const;

  friend class LinearGroup;
  Tensor weight_, bias_;  // as the file holds them
  bool transposed_ = false;
  std::shared_ptr<PackedWeights> packed_;
  std::shared_ptr<AdapterSlot> adapters_;  // null: it can have none
};

/// A step of chain(): a layer, and what follows it.
struct ChainLayer {
  const Linear* layer;
  After after;           ///< its residual may be given by residual_of instead
  int residual_of = -1;  ///< the earlier step whose result is the residual
  bool keep = false;     ///< the result is wanted in memory, for a later residual_of
};

/// Layer after layer on the rows of x [rows, in], the last one's result. Where no gradient is wanted the rows between
/// two layers stay in cache, and threads meet once.
Tensor chain(const Tensor& x, std::initializer_list<ChainLayer> layers);

/// Several linear layers with one input (query, key and value), run as one product where no gradient is wanted.
class LinearGroup {
 public:
  static constexpr size_t kMostLayers = 3;

  LinearGroup() = default;
  explicit LinearGroup(std::vector<Linear> layers, const BuildOptions& options);

  /// x [rows, in] to one [rows, out_i] a layer, in their order; they may be slices of one tensor.
  std::array<Tensor, kMostLayers> operator()(const Tensor& x) const;

  const std::vector<Linear>& layers() const { return layers_; }

 private:
  void join_parameters() const;
  std::vector<Linear> layers_;
  std::shared_ptr<PackedWeights> packed_;
};

}  // namespace mica
