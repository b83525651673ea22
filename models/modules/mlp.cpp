#include "mica/models/modules/mlp.h"

#include "mica/autograd/activation.h"
#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"

namespace mica {

Mlp::Mlp(const Scope& scope, int64_t hidden_size, const MlpSpec& spec) : spec_(spec) {
  const int64_t inner = spec.intermediate_size;
  const auto linear = [&](const std::string& name, int64_t in, int64_t out, bool bias) {
    return Linear(scope / name, in, out, bias || spec.bias, spec.transposed);
  };
  switch (spec.kind) {
    case MlpKind::plain:
      up_ = linear(spec.names.up, hidden_size, inner, spec.up_bias);
      break;
    case MlpKind::gated:
      gate_and_up_ = LinearGroup({linear(spec.names.gate, hidden_size, inner, spec.up_bias),
                                  linear(spec.names.up, hidden_size, inner, spec.up_bias)},
                                 scope.options());
      break;
    case MlpKind::gated_fused:
      fused_ = linear(spec.names.gate_up, hidden_size, 2 * inner, spec.up_bias);
      break;
  }
  down_ = linear(spec.names.down, inner, hidden_size, spec.down_bias);
}

std::vector<Linear> Mlp::inputs() const {
  if (spec_.kind == MlpKind::gated) return gate_and_up_.layers();
  return {spec_.kind == MlpKind::plain ? up_ : fused_};
}

Tensor Mlp::operator()(const Tensor& x, const After& after, bool training) const {
  const double dropped = training ? spec_.inner_dropout : 0;
  if (spec_.kind == MlpKind::plain) {
    return chain(x, {{&up_, {.activation = spec_.activation, .dropout = dropped}}, {&down_, after}});
  }
  Tensor gate;
  Tensor up;
  if (spec_.kind == MlpKind::gated) {
    const auto both = gate_and_up_(x);
    gate = both[0];
    up = both[1];
  } else {
    const Tensor both = fused_(x);
    gate = slice(both, -1, 0, spec_.intermediate_size);
    up = slice(both, -1, spec_.intermediate_size, 2 * spec_.intermediate_size);
  }
  return down_(dropout(activate_and_multiply(gate, up, spec_.activation), dropped), after);
}

}  // namespace mica
