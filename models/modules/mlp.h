#pragma once
// The feed-forward part of a layer: two matrices and an activation, or three with a gate.

#include <string>

#include "mica/models/modules/linear.h"

namespace mica {

enum class MlpKind : uint8_t {
  plain,       ///< down(activation(up(x)))
  gated,       ///< down(activation(gate(x)) * up(x))
  gated_fused  ///< the same, files hold gate and up as one matrix, rows [gate; up]
};

struct MlpNames {
  std::string gate = "mlp.gate_proj", up = "mlp.up_proj", down = "mlp.down_proj";
  std::string gate_up = "mlp.gate_up_proj";
};

struct MlpSpec {
  MlpKind kind = MlpKind::gated;
  int64_t intermediate_size = 0;
  Activation activation = Activation::silu;
  bool bias = false;                        ///< of all matrices
  bool up_bias = false, down_bias = false;  ///< of these alone
  bool transposed = false;                  ///< files hold weights as [in, out]
  double inner_dropout = 0;                 ///< between the matrices
  MlpNames names;
};

class Mlp {
 public:
  Mlp() = default;
  Mlp(const Scope& scope, int64_t hidden_size, const MlpSpec& spec);

  bool defined() const { return down_.defined(); }
  /// x [rows, hidden_size] to the same, `after` applied behind the last product.
  Tensor operator()(const Tensor& x, const After& after, bool training) const;

  /// The layers that read x (gate and up of a gated one), and the one behind them.
  std::vector<Linear> inputs() const;
  const Linear& down() const { return down_; }

 private:
  MlpSpec spec_;
  LinearGroup gate_and_up_;
  Linear up_, fused_, down_;
};

}  // namespace mica
