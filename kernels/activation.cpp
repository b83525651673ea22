#include "mica/kernels/activation.h"

#include <array>
#include <string>
#include <utility>

#include "mica/base/error.h"

namespace mica {
namespace {

// The first name of an activation is the one that name() gives.
constexpr std::array<std::pair<std::string_view, Activation>, 24> kNames{{
    {"linear", Activation::none},
    {"relu", Activation::relu},
    {"gelu", Activation::gelu},
    {"gelu_python", Activation::gelu},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_fast", Activation::gelu_tanh},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"gelu_python_tanh", Activation::gelu_tanh},
    {"gelu_accurate", Activation::gelu_tanh},
    {"quick_gelu", Activation::quick_gelu},
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"tanh", Activation::tanh},
    {"sigmoid", Activation::sigmoid},
    {"relu2", Activation::relu2},
    {"mish", Activation::mish},
    {"elu", Activation::elu},
    {"gelu_10", Activation::gelu_10},
    {"hardswish", Activation::hardswish},
    {"laplace", Activation::laplace},
    {"leaky_relu", Activation::leaky_relu},
    {"relu6", Activation::relu6},
    {"sqrtsoftplus", Activation::sqrtsoftplus},
    {"none", Activation::none},
}};

}  // namespace

Activation activation_from_name(std::string_view text) {
  for (const auto& [known, activation] : kNames) {
    if (known == text) return activation;
  }
  if (text == "prelu" || text == "xielu") {
    throw Error("activation \"" + std::string(text) + "\" has parameters of its own", "activation",
                "this version has only activations without parameters; use a model with another hidden_act");
  }
  std::string names;
  for (const auto& [known, activation] : kNames) names += (names.empty() ? "" : ", ") + std::string(known);
  throw Error("unknown activation \"" + printable(text) + "\"", "activation", "use one of " + names);
}

std::string_view name(Activation activation) {
  for (const auto& [known, value] : kNames) {
    if (value == activation) return known;
  }
  return "?";
}

}  // namespace mica
