#include "mica/training/parameter_groups.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <optional>

#include "mica/base/error.h"

namespace mica {
namespace {

std::vector<std::string> parts_of(std::string_view name) {
  std::vector<std::string> parts{""};
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return parts;
}

// Names of norms in published files: LayerNorm, layer_norm, norm, norm1, ln_1, ln_f, input_layernorm, q_norm, ...
bool is_norm(const std::string& part) {
  if (part.find("layernorm") != std::string::npos || part.find("rmsnorm") != std::string::npos) return true;
  if (part.find("layer_norm") != std::string::npos) return true;
  if (part == "norm" || part.ends_with("_norm") || part.starts_with("norm_")) return true;
  const std::string stem = part.substr(0, part.find_last_not_of("0123456789") + 1);
  return stem == "norm" || part == "ln" || part.starts_with("ln_");
}

std::optional<int64_t> layer_of(std::string_view name) {
  for (const std::string& part : parts_of(name)) {
    if (!part.empty() && part.size() < 6 && part.find_first_not_of("0123456789") == std::string::npos) {
      return std::stoll(part);
    }
  }
  return std::nullopt;
}

bool is_embedding(std::string_view name) {
  static constexpr const char* kNames[] = {"embed", "wte", "wpe", "shared"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](const char* each) { return name.find(each) != std::string_view::npos; });
}

void freeze(const NamedTensors& parameters, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (const auto& [name, parameter] : parameters) {
      if (name.find(pattern) == std::string::npos) continue;
      any = true;
      parameter.set_requires_grad(false);
    }
    if (!any) {
      throw Error("no parameter has \"" + printable(pattern) + "\" in its name", "training arguments, freeze",
                  "`mica info` lists the names");
    }
  }
}

}  // namespace

bool decays(std::string_view name) {
  const std::vector<std::string> parts = parts_of(name);
  // Wherever it stands: a relative_attention_bias has a weight.
  if (name.find("bias") != std::string_view::npos) return false;
  return std::none_of(parts.begin(), parts.end(), is_norm);
}

int64_t depth_of(std::string_view name, int64_t num_layers) {
  if (const auto layer = layer_of(name)) return std::min(*layer, num_layers - 1) + 1;
  return is_embedding(name) ? 0 : num_layers + 1;
}

std::vector<ParameterGroup> parameter_groups(const NamedTensors& parameters, const TrainingArguments& arguments) {
  freeze(parameters, arguments.freeze);
  int64_t layers = 0;
  for (const auto& [name, parameter] : parameters) layers = std::max(layers, layer_of(name).value_or(-1) + 1);
  std::map<std::pair<int64_t, bool>, ParameterGroup> groups;
  for (const auto& [name, parameter] : parameters) {
    if (!parameter.requires_grad()) continue;
    const int64_t above = arguments.layerwise_lr_decay == 1 ? 0 : layers + 1 - depth_of(name, layers);
    const bool with_decay = decays(name);
    ParameterGroup& group = groups[{above, !with_decay}];
    group.learning_rate_scale = std::pow(arguments.layerwise_lr_decay, static_cast<double>(above));
    group.weight_decay = with_decay ? arguments.weight_decay : 0;
    group.parameters.emplace_back(name, parameter);
  }
  std::vector<ParameterGroup> result;
  for (auto& [key, group] : groups) result.push_back(std::move(group));
  if (result.empty()) throw Error("no parameter is left to learn", "training arguments, freeze", "freeze fewer");
  return result;
}

}  // namespace mica
