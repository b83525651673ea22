// Virtual tokens in the folders that the PEFT library writes and reads.

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/models/auto/adapter_parts.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tensor/safetensors.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {
namespace {

constexpr const char* kPrefix = "base_model.";
constexpr const char* kValues = "prompt_embeddings";
constexpr const char* kWeights = "adapter_model.safetensors";
// PEFT keeps of a projection only what it makes of the embeddings. To go on training takes the projection itself.
constexpr const char* kProjection = "prompt_encoder.safetensors";
constexpr int64_t kMost = 1 << 20;

std::string type_of(const Json& config) {
  const auto found = config.find("peft_type");
  return found != config.end() && found->is_string() ? found->get<std::string>() : "";
}

Tensor read(const SafeTensors& file, const std::string& path, const std::string& key, const Shape& shape) {
  if (file.find(key) == nullptr) throw Error("no tensor " + key, path, "fetch the file again");
  const Tensor value = file.tensor(key);
  if (!(value.shape() == shape)) {
    throw Error(key + " has shape " + to_string(value.shape()) + ", the model needs " + to_string(shape), path,
                "take an adapter of this model");
  }
  return value.to(DType::float32);
}

void need(Fields* fields, const char* key, int64_t have, int64_t wanted) {
  if (have == wanted) return;
  fields->fail("key " + std::string(key) + " is " + std::to_string(have),
               "this model has " + std::to_string(wanted) + ": take an adapter of this model");
}

// What the config says, its embedding still to be read.
VirtualTokens described(const Model& model, const Json& config, const std::string& path) {
  Fields fields(config, path, "adapter");
  const NetworkShape& shape = model.network().shape();
  VirtualTokens tokens;
  tokens.kind = type_of(config) == "PREFIX_TUNING" ? VirtualTokenKind::prefix : VirtualTokenKind::prompt;
  tokens.length = fields.integer("num_virtual_tokens", 1, kMost);
  tokens.encoder_decoder = shape.encoder_decoder;
  const char* task = task_type(model.task());
  const std::string wanted = fields.string("task_type", "");
  if (task == nullptr || wanted != task) {
    fields.fail("key task_type is \"" + printable(wanted) + "\"",
                std::string("open the model for that task, not for ") + std::string(name(model.task())));
  }
  need(&fields, "num_transformer_submodules", fields.integer("num_transformer_submodules", 1, 2, 1),
       tokens.encoder_decoder ? 2 : 1);
  const int64_t size = fields.integer("token_dim", 1, kMost);
  if (tokens.kind == VirtualTokenKind::prompt) {
    need(&fields, "token_dim", size, shape.embedding_size);
    return tokens;
  }
  if (shape.prefix_layers == 0) fields.fail("prefix tuning", "this model's attention takes no keys from outside");
  need(&fields, "num_layers", fields.integer("num_layers", 1, kMost), shape.prefix_layers);
  need(&fields, "num_attention_heads", fields.integer("num_attention_heads", 1, kMost), shape.prefix_heads);
  need(&fields, "token_dim", size, shape.prefix_heads * shape.prefix_head_dim);
  tokens.layers = shape.prefix_layers;
  tokens.heads = shape.prefix_heads;
  tokens.head_dim = shape.prefix_head_dim;
  return tokens;
}

Shape values_shape(const VirtualTokens& tokens, const Model& model) {
  if (tokens.kind == VirtualTokenKind::prefix) {
    return {tokens.length, tokens.layers * 2 * tokens.heads * tokens.head_dim};
  }
  return {tokens.length * (tokens.encoder_decoder ? 2 : 1), model.network().shape().embedding_size};
}

// The projection that is trained further.
void read_projection(const Json& config, const std::string& folder, VirtualTokens* tokens) {
  const std::string path = join_path(folder, kProjection);
  if (!file_exists(path)) {
    throw Error("no " + std::string(kProjection), folder,
                "PEFT's files hold what a projection makes, not the projection: load it without training it");
  }
  const SafeTensors file = SafeTensors::open(path);
  Fields fields(config, join_path(folder, "adapter_config.json"), "adapter");
  const int64_t size = tokens->heads * tokens->head_dim, middle = fields.integer("encoder_hidden_size", 1, kMost);
  const int64_t all = tokens->layers * 2 * size;
  tokens->embedding = read(file, path, "embedding.weight", {tokens->length, size}).clone();
  tokens->weight0 = read(file, path, "transform.0.weight", {middle, size}).clone();
  tokens->bias0 = read(file, path, "transform.0.bias", {middle}).clone();
  tokens->weight1 = read(file, path, "transform.2.weight", {all, middle}).clone();
  tokens->bias1 = read(file, path, "transform.2.bias", {all}).clone();
}

// The values of whole modules in the file, each with the parameter that it is for.
std::vector<std::pair<Tensor, Tensor>> read_modules(const Model& model, const SafeTensors& file,
                                                    const std::string& path) {
  std::vector<std::pair<Tensor, Tensor>> found;
  for (const TensorEntry& entry : file.entries()) {
    if (entry.name == kValues) continue;
    const auto& parameters = model.parameters();
    const auto parameter = std::find_if(parameters.begin(), parameters.end(),
                                        [&](const auto& each) { return entry.name == kPrefix + each.first; });
    if (parameter == parameters.end()) {
      throw Error("the model has no layer for " + printable(entry.name), path, "take an adapter of this model");
    }
    found.emplace_back(parameter->second, read(file, path, entry.name, parameter->second.shape()));
  }
  return found;
}

}  // namespace

bool has_virtual_tokens(const Json& config) {
  const std::string type = type_of(config);
  return type == "PROMPT_TUNING" || type == "PREFIX_TUNING" || type == "P_TUNING";
}

// What P_TUNING's encoder makes is saved as a prompt, and read as one; the encoder itself is not saved.
void load_virtual_tokens(const Model& model, const Json& config, const std::string& folder, const std::string& name,
                         bool trainable) {
  const std::string config_path = join_path(folder, "adapter_config.json"), path = join_path(folder, kWeights);
  if (trainable && type_of(config) == "P_TUNING") {
    throw Error("key peft_type is \"P_TUNING\"", config_path, "mica reads these and does not train them");
  }
  VirtualTokens tokens = described(model, config, config_path);
  const std::vector<std::string> modules = names_in(config, "modules_to_save", config_path);
  const SafeTensors file = SafeTensors::open(path);
  const Tensor values = read(file, path, kValues, values_shape(tokens, model));
  const auto replaced = read_modules(model, file, path);
  const bool projected = tokens.kind == VirtualTokenKind::prefix &&
                         Fields(config, config_path, "adapter").boolean("prefix_projection", false);
  if (projected && trainable) {
    read_projection(config, folder, &tokens);
  } else {
    tokens.embedding = values.clone();
  }
  for (Tensor* each : {&tokens.embedding, &tokens.weight0, &tokens.bias0, &tokens.weight1, &tokens.bias1}) {
    if (each->defined()) *each = each->to(model.device()).set_requires_grad(trainable);
  }
  // Everything is read before anything changes.
  for (const auto& [tensor, value] : replaced) tensor.detach().copy_(value);
  AdapterRegistry& registry = model.adapters();
  registry.virtual_tokens[name] = std::move(tokens);
  registry.configs[name] = dump_json(config);
  activate(registry, {name});
  if (trainable) freeze_model(model, saved_modules(model, modules));
}

void load_virtual_token_values(const Model& model, const std::string& folder, const std::string& name) {
  VirtualTokens& tokens = model.adapters().virtual_tokens.at(name);
  const std::string path = join_path(folder, kWeights);
  const SafeTensors file = SafeTensors::open(path);
  const Tensor values = read(file, path, kValues, values_shape(tokens, model));
  const auto replaced = read_modules(model, file, path);
  if (tokens.weight0.defined()) {
    VirtualTokens fresh = tokens;
    read_projection(parse_json(config_text(model.adapters(), name), "adapter_config.json"), folder, &fresh);
    const auto into = tokens.parameters(), from = fresh.parameters();
    for (size_t i = 0; i < into.size(); ++i) into[i].second.detach().copy_(from[i].second);
  } else {
    tokens.embedding.detach().copy_(values);
  }
  for (const auto& [tensor, value] : replaced) tensor.detach().copy_(value);
}

void save_virtual_tokens(const Model& model, const Json& config, const std::string& folder, const std::string& name) {
  const NoGrad no_grad;
  const VirtualTokens& tokens = model.adapters().virtual_tokens.at(name);
  NamedTensors tensors{{kValues, tokens.values().detach()}};
  const std::vector<std::string> saved =
      saved_modules(model, names_in(config, "modules_to_save", "adapter_config.json"));
  for (const auto& [parameter, tensor] : model.parameters()) {
    if (belongs_to(parameter, saved)) tensors.emplace_back(kPrefix + parameter, tensor.detach());
  }
  make_directories(folder);
  save_safetensors(join_path(folder, kWeights), tensors, {{"format", "pt"}});
  if (tokens.weight0.defined()) {
    NamedTensors projection;
    for (const auto& [part, tensor] : tokens.parameters()) {
      projection.emplace_back(part.substr(part.find('.') + 1), tensor.detach());
    }
    save_safetensors(join_path(folder, kProjection), projection, {{"format", "pt"}});
  }
  write_file_atomically(join_path(folder, "adapter_config.json"), dump_json(config));
}

}  // namespace mica
