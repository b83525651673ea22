#include "mica/models/auto/lora.h"

#include <algorithm>
#include <cmath>

#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/kernels/backend.h"
#include "mica/models/auto/adapter_parts.h"
#include "mica/models/auto/lora_targets.h"
#include "mica/models/auto/table.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tensor/safetensors.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {
namespace {

constexpr const char* kPrefix = "base_model.model.";
constexpr int64_t kMostRank = 1 << 16;

double scale_of(const LoraConfig& config) {
  const auto rank = static_cast<double>(config.r);
  return config.lora_alpha / (config.use_rslora ? std::sqrt(rank) : rank);
}

// Starts that take from the base model's weights what they give to the adapter: an adapter saved as it is (PEFT can
// convert it) is of no use without the same change.
bool changes_base(const std::string& start) {
  return start.starts_with("pissa") ||
         std::ranges::count(std::initializer_list<const char*>{"olora", "corda", "loftq", "lora_ga"}, start) > 0;
}

void check(const LoraConfig& config) {
  if (config.r < 1 || config.r > kMostRank) {
    throw Error("LoRA of rank " + std::to_string(config.r), "adapter", "use 1 to " + std::to_string(kMostRank));
  }
  if (!(config.lora_dropout >= 0 && config.lora_dropout < 1) || !std::isfinite(config.lora_alpha)) {
    throw Error(
        "lora_dropout " + std::to_string(config.lora_dropout) + ", lora_alpha " + std::to_string(config.lora_alpha),
        "adapter", "use a dropout in [0, 1) and a finite alpha");
  }
}

Json config_json(const Model& model, const LoraConfig& config, const std::vector<std::string>& targets,
                 bool transposed) {
  Json json = Json::object();
  json["base_model_name_or_path"] = nullptr;
  json["bias"] = "none";
  json["fan_in_fan_out"] = transposed;
  json["inference_mode"] = true;
  json["init_lora_weights"] = true;
  json["lora_alpha"] = config.lora_alpha;
  json["lora_dropout"] = config.lora_dropout;
  const std::vector<std::string> saved = saved_modules(model, config.modules_to_save);
  json["modules_to_save"] = saved.empty() ? Json(nullptr) : Json(saved);
  json["peft_type"] = "LORA";
  json["r"] = config.r;
  json["target_modules"] = targets;
  const char* type = task_type(model.task());
  json["task_type"] = type == nullptr ? Json(nullptr) : Json(type);
  json["use_rslora"] = config.use_rslora;
  return json;
}

LoraConfig config_of(const Json& json, const std::string& path) {
  Fields fields(json, path, "adapter");
  const std::string type = fields.string("peft_type");
  if (type != "LORA")
    fields.fail("key peft_type is \"" + printable(type) + "\"",
                "mica reads LORA, PROMPT_TUNING, P_TUNING and PREFIX_TUNING");
  for (const char* key : {"use_dora", "lora_bias", "use_qalora", "use_bdlora", "alora_invocation_tokens",
                          "arrow_config", "kasa_config", "layer_replication", "monteclora_config"}) {
    const auto found = json.find(key);
    if (found != json.end() && *found != false && !found->empty())
      fields.fail(std::string("key ") + key + " is set", "mica lacks it");
  }
  if (fields.string("bias", "none") != "none") fields.fail("key bias is not \"none\"", "mica lacks trained biases");
  const auto start = json.find("init_lora_weights");
  if (start != json.end() && start->is_string() && changes_base(start->get<std::string>())) {
    fields.fail("key init_lora_weights is \"" + printable(start->get<std::string>()) +
                    "\": this start changed the weights of the base model",
                "save it with PEFT's path_initial_model_for_weight_conversion, or merge it there");
  }
  LoraConfig config;
  config.r = fields.integer("r", 1, kMostRank);
  const auto number = [&](const char* key, double fallback) {
    if (!json.contains(key) || json[key].is_null()) return fallback;
    if (!json[key].is_number()) fields.fail(std::string("key ") + key + " is no number", "make it one");
    return json[key].get<double>();
  };
  config.lora_alpha = number("lora_alpha", 8);
  config.lora_dropout = number("lora_dropout", 0);
  config.use_rslora = fields.boolean("use_rslora", false);
  config.target_modules = names_in(json, "target_modules", path);
  config.modules_to_save = names_in(json, "modules_to_save", path);
  check(config);
  return config;
}

// With the rank and alpha that rank_pattern and alpha_pattern give the module.
LoraConfig config_for(const std::string& module, LoraConfig config, const Json& json, const std::string& path) {
  const auto number = [&](const char* key, double fallback) {
    const auto patterns = json.find(key);
    if (patterns == json.end()) return fallback;
    for (const auto& [pattern, value] : patterns->items()) {
      if (!fits_pattern(module, pattern)) continue;
      if (value.is_number()) return value.get<double>();
      throw Error(std::string("key ") + key + " gives \"" + printable(pattern) + "\" no number", path, "make it one");
    }
    return fallback;
  };
  const double rank = number("rank_pattern", static_cast<double>(config.r));
  config.r = rank >= 1 && rank <= kMostRank ? static_cast<int64_t>(rank) : 0;
  config.lora_alpha = number("alpha_pattern", config.lora_alpha);
  check(config);
  return config;
}

}  // namespace

std::vector<std::string> add_adapter(const Model& model, const LoraConfig& config, const std::string& name) {
  check(config);
  AdapterRegistry& registry = model.adapters();
  check_free(registry, name);
  std::vector<std::string> targets = config.target_modules;
  if (targets.empty()) targets = usual_targets(registry);
  std::vector<std::string> chosen;
  bool transposed = false;
  for (const auto& [module, slot] : registry.slots) {
    if (!is_target(module, targets)) continue;
    chosen.push_back(module);
    transposed = transposed || slot->transposed();
    // PEFT's start: A as torch draws a linear layer (Kaiming, a = sqrt(5)), uniform within 1 / sqrt(in); B zero.
    const double bound = 1 / std::sqrt(static_cast<double>(slot->in()));
    LowRank adapter;
    adapter.a = uniform({config.r, slot->in()}, -bound, bound, DType::float32, model.device()).set_requires_grad(true);
    adapter.b = Tensor::zeros({slot->out(), config.r}, DType::float32, model.device()).set_requires_grad(true);
    adapter.scale = scale_of(config);
    adapter.dropout = config.lora_dropout;
    slot->adapters()[name] = std::move(adapter);
  }
  if (chosen.empty()) throw no_target(registry, targets);
  registry.configs[name] = dump_json(config_json(model, config, targets, transposed));
  activate(registry, {name});
  freeze_model(model, saved_modules(model, config.modules_to_save));
  return chosen;
}

void load_adapter(const Model& model, const std::string& folder, const std::string& name, bool trainable) {
  const NoGrad no_grad;
  AdapterRegistry& registry = model.adapters();
  check_free(registry, name);
  const std::string path = join_path(folder, "adapter_config.json");
  const Json json = read_json_file(path);
  if (!json.is_object()) throw Error("no JSON object", path, "fetch the file again");
  if (has_virtual_tokens(json)) return load_virtual_tokens(model, json, folder, name, trainable);
  const LoraConfig config = config_of(json, path);
  const std::string weights_path = join_path(folder, "adapter_model.safetensors");
  const SafeTensors weights = SafeTensors::open(weights_path);
  const auto read = [&](const std::string& key, const Shape& shape) {
    const Tensor value = weights.tensor(key);
    if (!(value.shape() == shape)) {
      throw Error(key + " has shape " + to_string(value.shape()) + ", the layer needs " + to_string(shape),
                  weights_path, "take an adapter of this model");
    }
    return value.to(DType::float32).to(model.device()).clone();
  };
  // Everything is read before anything changes.
  std::vector<std::pair<AdapterSlot*, LowRank>> read_slots;
  std::vector<std::pair<Tensor, Tensor>> replaced;
  size_t used = 0;
  for (const auto& [module, slot] : registry.slots) {
    const std::string key = kPrefix + module;
    if (weights.find(key + ".lora_A.weight") == nullptr) continue;
    const LoraConfig own = config_for(module, config, json, path);
    LowRank adapter;
    adapter.a = read(key + ".lora_A.weight", {own.r, slot->in()}).set_requires_grad(trainable);
    adapter.b = read(key + ".lora_B.weight", {slot->out(), own.r}).set_requires_grad(trainable);
    adapter.scale = scale_of(own);
    adapter.dropout = config.lora_dropout;
    read_slots.emplace_back(slot.get(), std::move(adapter));
    used += 2;
  }
  for (const auto& [parameter, tensor] : model.parameters()) {
    if (weights.find(kPrefix + parameter) == nullptr) continue;
    replaced.emplace_back(tensor, read(kPrefix + parameter, tensor.shape()));
    ++used;
  }
  if (read_slots.empty() || used != weights.entries().size()) {
    for (const TensorEntry& entry : weights.entries()) {
      const std::string shown = printable(entry.name);
      const bool known = std::any_of(registry.slots.begin(), registry.slots.end(), [&](const auto& each) {
        return entry.name.starts_with(kPrefix + each.first + ".lora_");
      });
      const bool parameter = std::any_of(model.parameters().begin(), model.parameters().end(),
                                         [&](const auto& each) { return entry.name == kPrefix + each.first; });
      if (!known && !parameter)
        throw Error("the model has no layer for " + shown, weights_path, "take an adapter of this model");
    }
    throw Error("no tensor of an adapter", weights_path, "fetch the file again");
  }
  for (auto& [slot, adapter] : read_slots) slot->adapters()[name] = std::move(adapter);
  for (const auto& [tensor, value] : replaced) tensor.detach().copy_(value);
  registry.configs[name] = dump_json(json);
  activate(registry, {name});
  if (trainable) freeze_model(model, saved_modules(model, config.modules_to_save));
}

void load_adapter_values(const Model& model, const std::string& folder, const std::string& name) {
  const NoGrad no_grad;
  const AdapterRegistry& registry = model.adapters();
  config_text(registry, name);
  if (registry.virtual_tokens.contains(name)) return load_virtual_token_values(model, folder, name);
  const std::string path = join_path(folder, "adapter_model.safetensors");
  const SafeTensors weights = SafeTensors::open(path);
  const auto copy = [&](const std::string& key, const Tensor& into) {
    if (weights.find(key) == nullptr || !(weights.tensor(key).shape() == into.shape())) {
      throw Error("no tensor " + key + " of shape " + to_string(into.shape()), path,
                  "take an adapter of the same kind");
    }
    into.detach().copy_(weights.tensor(key));
  };
  for (const auto& [module, slot] : registry.slots) {
    const auto found = slot->adapters().find(name);
    if (found == slot->adapters().end()) continue;
    copy(kPrefix + module + ".lora_A.weight", found->second.a);
    copy(kPrefix + module + ".lora_B.weight", found->second.b);
  }
  for (const auto& [parameter, tensor] : model.parameters()) {
    if (weights.find(kPrefix + parameter) != nullptr) copy(kPrefix + parameter, tensor);
  }
}

void save_adapter(const Model& model, const std::string& folder, const std::string& name,
                  const std::string& base_model) {
  const AdapterRegistry& registry = model.adapters();
  Json json = parse_json(config_text(registry, name), "adapter_config.json");
  if (!base_model.empty()) json["base_model_name_or_path"] = base_model;
  if (registry.virtual_tokens.contains(name)) return save_virtual_tokens(model, json, folder, name);
  NamedTensors tensors;
  for (const auto& [module, slot] : registry.slots) {
    const auto found = slot->adapters().find(name);
    if (found == slot->adapters().end()) continue;
    tensors.emplace_back(kPrefix + module + ".lora_A.weight", found->second.a.detach());
    tensors.emplace_back(kPrefix + module + ".lora_B.weight", found->second.b.detach());
  }
  const std::vector<std::string> saved = saved_modules(model, config_of(json, "adapter_config.json").modules_to_save);
  for (const auto& [parameter, tensor] : model.parameters()) {
    if (belongs_to(parameter, saved)) tensors.emplace_back(kPrefix + parameter, tensor.detach());
  }
  make_directories(folder);
  save_safetensors(join_path(folder, "adapter_model.safetensors"), tensors, {{"format", "pt"}});
  write_file_atomically(join_path(folder, "adapter_config.json"), dump_json(json));
}

void set_active_adapters(const Model& model, const std::vector<std::string>& names) {
  for (const std::string& name : names) config_text(model.adapters(), name);
  activate(model.adapters(), names);
}

std::vector<std::string> adapter_names(const Model& model) {
  std::vector<std::string> names;
  for (const auto& [name, text] : model.adapters().configs) names.push_back(name);
  return names;
}

bool has_adapters(const Model& model) {
  return !model.adapters().configs.empty();
}

void merge_adapters(const Model& model) {
  const NoGrad no_grad;
  AdapterRegistry& registry = model.adapters();
  if (registry.active_virtual_tokens() != nullptr) {
    throw Error("virtual tokens cannot be merged into weights", "adapter", "use the model with its adapter");
  }
  for (const auto& [module, slot] : registry.slots) {
    if (!slot->any_active()) continue;
    const std::string weight_name = module + ".weight";
    const auto found = std::find_if(model.parameters().begin(), model.parameters().end(),
                                    [&](const auto& each) { return each.first == weight_name; });
    if (found == model.parameters().end()) {
      throw Error("no weight " + weight_name + " to merge into", "adapter", "use the model with its adapters");
    }
    const Tensor& weight = found->second;
    // The change is what the adapters make of the identity: rows are the layer's answers to each input alone.
    const DType dtype = backend(weight.device()).activation_dtype(weight.dtype());
    const Tensor identity = Tensor::zeros({slot->in(), slot->in()}, dtype, weight.device());
    for (int64_t i = 0; i < slot->in(); ++i) identity.select(0, i).slice(0, i, i + 1).fill_(1);
    slot->set_training(false);
    const Tensor change = slot->add_to(Tensor::zeros({slot->in(), slot->out()}, dtype, weight.device()), identity);
    const Tensor fitting = slot->transposed() ? change : change.transpose(0, 1);
    std::vector<float> sum = weight.to_vector<float>();
    const std::vector<float> more = fitting.contiguous().to_vector<float>();
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
    weight.detach().copy_(Tensor::from(sum, weight.shape()));
  }
  remove_adapters(model);
}

void remove_adapters(const Model& model) {
  AdapterRegistry& registry = model.adapters();
  for (const auto& [module, slot] : registry.slots) slot->adapters().clear();
  registry.configs.clear();
  registry.virtual_tokens.clear();
  activate(registry, {});
  for (const auto& [name, parameter] : model.parameters()) parameter.set_requires_grad(true);
}

std::vector<std::pair<std::string, Tensor>> adapter_parameters(const Model& model) {
  std::vector<std::pair<std::string, Tensor>> parameters;
  const AdapterRegistry& registry = model.adapters();
  for (const std::string& name : registry.active) {
    const auto tokens = registry.virtual_tokens.find(name);
    if (tokens != registry.virtual_tokens.end()) return tokens->second.parameters();
    const std::string suffix = registry.active.size() > 1 ? "." + name : "";
    for (const auto& [module, slot] : registry.slots) {
      const auto found = slot->adapters().find(name);
      if (found == slot->adapters().end()) continue;
      parameters.emplace_back(module + ".lora_A" + suffix + ".weight", found->second.a);
      parameters.emplace_back(module + ".lora_B" + suffix + ".weight", found->second.b);
    }
  }
  return parameters;
}

bool is_adapter_folder(const std::string& folder) {
  if (!file_exists(join_path(folder, "adapter_config.json"))) return false;
  for (const char* weights :
       {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (file_exists(join_path(folder, weights))) return false;
  }
  return true;
}

std::string adapter_base_model(const std::string& folder) {
  const std::string path = join_path(folder, "adapter_config.json");
  if (!file_exists(path)) return "";
  const Json json = read_json_file(path);
  const auto found = json.find("base_model_name_or_path");
  if (found == json.end() || !found->is_string() || found->get<std::string>().empty()) {
    throw Error("key base_model_name_or_path names no model", path, "open the model, and load the adapter into it");
  }
  return found->get<std::string>();
}

}  // namespace mica
