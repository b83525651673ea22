#pragma once
// Mixtures of experts: a router picks a few of many small MLPs for every token. Shazeer et al. 2017.

#include <string>
#include <vector>

#include "mica/autograd/experts.h"
#include "mica/autograd/grouped_experts.h"
#include "mica/models/modules/mlp.h"

namespace mica {

enum class RouterKind : uint8_t {
  softmax_all,     ///< weights are the softmax over all experts, at the chosen ones
  softmax_chosen,  ///< the softmax over the chosen ones
  sigmoid,         ///< each expert's sigmoid; chosen by it plus a correction, from the best groups (DeepSeek 2024)
};

struct ExpertsNames {
  std::string router = "mlp.gate";
  std::string correction;  ///< full name of the correction bias below the layer; empty: none
  std::string experts = "mlp.experts";
  MlpNames expert{.gate = "gate_proj", .up = "up_proj", .down = "down_proj"};
  std::string shared;       ///< module of the MLP that every token passes; empty: none
  std::string shared_gate;  ///< scores how much of it; empty: all
};

struct ExpertsSpec {
  int64_t num_experts = 0;  ///< 0: the layer has a plain MLP
  int64_t num_experts_per_tok = 0;
  RouterKind router = RouterKind::softmax_all;
  bool router_bias = false;
  bool normalize = false;  ///< the chosen ones' weights are made to sum to 1
  double scale = 1;        ///< of the weights
  int64_t num_groups = 1, num_chosen_groups = 1;
  MlpSpec expert;  ///< its names are those of `names.expert`
  /// Files hold all experts of a layer as one tensor [experts, in, out], gate and up in alternating columns; the gate
  /// is cut at `limit`, the other at +-limit: (up + 1) * gate * sigmoid(alpha * gate).
  bool stacked = false;
  double limit = 7, alpha = 1.702;
  int64_t shared_intermediate_size = 0;
  ExpertsNames names;
};

class Experts {
 public:
  Experts() = default;
  Experts(const Scope& scope, int64_t hidden_size, const ExpertsSpec& spec);

  bool defined() const { return spec_.num_experts > 0; }
  int64_t size() const { return spec_.num_experts; }
  /// What a caller wants to know of the routing: see router_balance.h.
  struct Balance {
    Tensor shown;  ///< bool [rows]; undefined: all
    Tensor sums;   ///< the answer
  };
  /// x [rows, hidden_size] to the same.
  Tensor operator()(const Tensor& x, bool training, Balance* balance = nullptr) const;
  /// Whether the host sees nothing of the routing on that device: all experts are multiplied at once.
  bool stays_on(Device device) const;

 private:
  Tensor choice(const Tensor& scores) const;
  Routing choose(const Tensor& x, bool on_device, Balance* balance) const;
  bool learns(int64_t expert) const;
  Tensor run(int64_t expert, const Tensor& x, bool training) const;
  Tensor one_by_one(const Tensor& x, const Routing& routing, bool training) const;
  Tensor all_at_once(const Tensor& x, const Routing& routing, bool training) const;
  void group_layers();

  ExpertsSpec spec_;
  Linear router_, shared_gate_;
  Tensor correction_;
  std::vector<Mlp> experts_;
  Tensor gate_up_, gate_up_bias_, down_, down_bias_;  // stacked
  std::vector<Linear> gate_up_layers_, down_layers_;  // an expert's, of the stacks
  Mlp shared_;
  std::vector<Linear> layers_;     // all of the experts
  ExpertLayers inputs_, outputs_;  // their parameters, as expert_linear() takes them; or none
  DType product_dtype_ = DType::float32;
};

}  // namespace mica
