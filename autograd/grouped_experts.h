#pragma once
// Mixtures of experts whose routing stays on the device: all experts' products at once, differentiable.
//
//     const ExpertOrder order = order_by_expert(routing.experts, experts);
//     const Tensor inner = activate_and_multiply(expert_linear(to_experts(x, order), order, gate_up, factors), silu);
//     y = from_experts(expert_linear(inner, order, down, factors), routing.weights, order);
//
// For devices with products of all experts at once (kernels/experts.h); elsewhere autograd/experts.h brings the routing
// to the host. An expert without rows gets a gradient of zeros: nobody on the host knows which ones they are.

#include <memory>
#include <mutex>
#include <vector>

#include "mica/autograd/experts.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Whether the device multiplies all experts at once.
bool groups_experts(Device device);

/// By which rules experts are chosen: see kernels/experts.h.
struct ExpertRules {
  Tensor correction;  ///< [experts], of the scores' dtype; undefined: none
  int64_t groups = 1, chosen_groups = 1;
};

/// route() in one kernel: the k best of scores [rows, experts] by these rules, and their scores. Throws Error for
/// shapes that do not fit, for k that is not between 1 and the number of experts, and for groups that are not equal
/// parts.
Routing choose_experts(const Tensor& scores, int64_t k, const ExpertRules& rules = {});

/// The choices of all rows sorted by expert, and within an expert by row: see kernels/experts.h.
struct ExpertOrder {
  Tensor offsets;  ///< int32 [experts + 1]
  Tensor places;   ///< int64 [rows * k]
  Tensor slots;    ///< int64 [rows, k]
};
/// experts: int64 [rows, k], those of a row all different, each in [0, count), which is not checked.
ExpertOrder order_by_expert(const Tensor& experts, int64_t count);

/// The row of each place: x [rows, size] to [rows * k, size].
Tensor to_experts(const Tensor& x, const ExpertOrder& order);
/// Each row's sum over its choices, times their weights [rows, k]: x [rows * k, size] to [rows, size].
Tensor from_experts(const Tensor& x, const Tensor& weights, const ExpertOrder& order);

/// Device memory that holds where tensors lie, written when that changes.
class AddressTable {
 public:
  /// int64 [addresses], on the device.
  Tensor of(std::vector<int64_t> addresses, Device device);

 private:
  std::mutex mutex_;
  std::vector<int64_t> known_;
  Tensor table_;
};

/// One linear layer of each expert, or several whose results stand side by side (parts).
struct ExpertLayers {
  /// [out, in] of part 0's experts, then of part 1's, ..., contiguous; or one stack [experts, in, out].
  std::vector<Tensor> weights;
  std::vector<Tensor> biases;  ///< likewise [out], or one stack [experts, out]; empty: none
  std::shared_ptr<AddressTable> weight_table = std::make_shared<AddressTable>();
  std::shared_ptr<AddressTable> bias_table = std::make_shared<AddressTable>();
};

/// y[p, part * out ...] = x[p] W[part, expert of place p]^T + b, of x [rows * k, in]: one kernel each way for all
/// experts, and one more a part for the way back to x. `factors` as in linear(). Throws Error for layers that do not
/// fit together or to x.
Tensor expert_linear(const Tensor& x, const ExpertOrder& order, const ExpertLayers& layers, DType factors);

}  // namespace mica
