#include "mica/models/auto/prompt_tuning.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/embedding.h"
#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/models/auto/adapter_parts.h"
#include "mica/models/auto/virtual_inputs.h"
#include "mica/models/modules/positions.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

constexpr int64_t kMostTokens = 1 << 16;

void check_task(const Model& model) {
  const Task task = model.task();
  const bool whole = task == Task::causal_lm || task == Task::seq2seq_lm;
  const bool scores = task == Task::sequence_classification || task == Task::token_classification;
  if (whole || (scores && !model.network().shape().encoder_decoder)) return;
  throw Error(
      "virtual tokens for " + std::string(name(task)) +
          (scores ? " with an encoder-decoder, whose decoder reads the input's ids" : ""),
      "adapter",
      "open the model for causal_lm, seq2seq_lm, sequence_classification or token_classification, or train LoRA");
}

void check_length(const Model& model, int64_t length) {
  const int64_t most = model.network().shape().max_tokens;
  const int64_t limit = most > 0 ? std::min(most - 1, kMostTokens) : kMostTokens;
  if (length < 1 || length > limit) {
    throw Error("num_virtual_tokens " + std::to_string(length), "adapter", "use 1 to " + std::to_string(limit));
  }
}

// Rows of the word table, as many as are wanted, for the text's tokens over and over.
std::vector<int64_t> tokens_of(const PromptTuningConfig& config, int64_t count) {
  if (config.prompt_tuning_init_text.empty() || config.tokenizer_name_or_path.empty()) {
    throw Error("a prompt that starts as a text, without prompt_tuning_init_text or tokenizer_name_or_path", "adapter",
                "give both");
  }
  const Tokenizer tokenizer = Tokenizer::from_pretrained(config.tokenizer_name_or_path);
  const BatchEncoding encoding = tokenizer(config.prompt_tuning_init_text);
  const auto ids = encoding.input_ids[0];
  if (ids.empty()) throw Error("prompt_tuning_init_text has no token", "adapter", "write some words");
  std::vector<int64_t> result;
  for (int64_t i = 0; i < count; ++i) result.push_back(ids[static_cast<size_t>(i) % ids.size()]);
  return result;
}

std::vector<int64_t> random_tokens(int64_t vocab_size, int64_t count) {
  const std::vector<float> places = uniform({count}, 0, static_cast<double>(vocab_size)).to_vector<float>();
  std::vector<int64_t> result;
  for (const float each : places) result.push_back(std::min(static_cast<int64_t>(each), vocab_size - 1));
  return result;
}

Tensor start_of(const Model& model, const PromptTuningConfig& config, int64_t rows) {
  const Network& network = model.network();
  const Tensor& table = network.input_embeddings();
  if (config.prompt_tuning_init == PromptTuningInit::random) {
    return normal({rows, network.shape().embedding_size}, 0, 1, DType::float32, model.device());
  }
  const NoGrad no_grad;
  const std::vector<int64_t> ids = config.prompt_tuning_init == PromptTuningInit::text
                                       ? tokens_of(config, rows)
                                       : random_tokens(table.size(0), rows);
  const Tensor words = embedding(table, index_tensor(ids).to(model.device())).to(DType::float32);
  return affine(words, network.shape().word_scale).detach().clone();
}

// A linear layer's weight and bias as torch draws them, uniform within 1 / sqrt(in).
std::pair<Tensor, Tensor> layer(int64_t in, int64_t out, bool zero, Device device) {
  const double bound = zero ? 0 : 1 / std::sqrt(static_cast<double>(in));
  Tensor weight = uniform({out, in}, -bound, bound, DType::float32, device);
  Tensor bias = uniform({out}, -bound, bound, DType::float32, device);
  return {std::move(weight), std::move(bias)};
}

// The keys that PEFT has for both kinds.
Json config_json(const Model& model, const VirtualTokens& tokens, const std::vector<std::string>& modules_to_save) {
  const bool prompt = tokens.kind == VirtualTokenKind::prompt;
  const NetworkShape& shape = model.network().shape();
  const std::vector<std::string> saved = saved_modules(model, modules_to_save);
  const auto number = [&](const char* key) { return model.config().integer(key, 0); };
  Json json = Json::object();
  json["base_model_name_or_path"] = nullptr;
  json["inference_mode"] = true;
  json["modules_to_save"] = saved.empty() ? Json(nullptr) : Json(saved);
  json["num_attention_heads"] = prompt ? number("num_attention_heads") : tokens.heads;
  json["num_layers"] = prompt ? number("num_hidden_layers") : tokens.layers;
  json["num_transformer_submodules"] = tokens.encoder_decoder ? 2 : 1;
  json["num_virtual_tokens"] = tokens.length;
  json["peft_type"] = prompt ? "PROMPT_TUNING" : "PREFIX_TUNING";
  json["task_type"] = task_type(model.task());
  json["token_dim"] = prompt ? shape.embedding_size : tokens.heads * tokens.head_dim;
  return json;
}

void add(const Model& model, const std::string& name, VirtualTokens tokens, const Json& json,
         const std::vector<std::string>& modules_to_save) {
  AdapterRegistry& registry = model.adapters();
  for (const auto& [part, tensor] : tokens.parameters()) tensor.set_requires_grad(true);
  registry.virtual_tokens[name] = std::move(tokens);
  registry.configs[name] = dump_json(json);
  activate(registry, {name});
  freeze_model(model, saved_modules(model, modules_to_save));
}

}  // namespace

void add_prompt_tuning(const Model& model, const PromptTuningConfig& config, const std::string& name) {
  check_task(model);
  check_length(model, config.num_virtual_tokens);
  check_free(model.adapters(), name);
  VirtualTokens tokens;
  tokens.length = config.num_virtual_tokens;
  tokens.encoder_decoder = model.network().shape().encoder_decoder;
  tokens.embedding = start_of(model, config, tokens.length * (tokens.encoder_decoder ? 2 : 1));
  Json json = config_json(model, tokens, config.modules_to_save);
  static constexpr const char* kInits[] = {"RANDOM", "TEXT", "SAMPLE_VOCAB"};
  const auto text = [](const std::string& value) { return value.empty() ? Json(nullptr) : Json(value); };
  json["prompt_tuning_init"] = kInits[static_cast<size_t>(config.prompt_tuning_init)];
  json["prompt_tuning_init_text"] = text(config.prompt_tuning_init_text);
  json["tokenizer_name_or_path"] = text(config.tokenizer_name_or_path);
  add(model, name, std::move(tokens), json, config.modules_to_save);
}

void add_prefix_tuning(const Model& model, const PrefixTuningConfig& config, const std::string& name) {
  check_task(model);
  check_length(model, config.num_virtual_tokens);
  check_free(model.adapters(), name);
  const NetworkShape& shape = model.network().shape();
  if (shape.prefix_layers == 0) {
    throw Error("prefix tuning with a model_type " + model.config().model_type.value(), "adapter",
                "its attention takes no keys from outside: train a prompt or LoRA");
  }
  VirtualTokens tokens;
  tokens.kind = VirtualTokenKind::prefix;
  tokens.length = config.num_virtual_tokens;
  tokens.encoder_decoder = shape.encoder_decoder;
  tokens.layers = shape.prefix_layers;
  tokens.heads = shape.prefix_heads;
  tokens.head_dim = shape.prefix_head_dim;
  const Device device = model.device();
  const int64_t size = tokens.heads * tokens.head_dim, all = tokens.layers * 2 * size;
  const int64_t middle = config.encoder_hidden_size == 0 ? size : config.encoder_hidden_size;
  if (middle < 1 || middle > kMostTokens) {
    throw Error("encoder_hidden_size " + std::to_string(middle), "adapter", "use 1 to " + std::to_string(kMostTokens));
  }
  if (config.prefix_projection) {
    tokens.embedding = normal({tokens.length, size}, 0, 1, DType::float32, device);
    std::tie(tokens.weight0, tokens.bias0) = layer(size, middle, false, device);
    std::tie(tokens.weight1, tokens.bias1) = layer(middle, all, config.init_zero, device);
  } else {
    tokens.embedding = config.init_zero ? Tensor::zeros({tokens.length, all}, DType::float32, device)
                                        : normal({tokens.length, all}, 0, 1, DType::float32, device);
  }
  Json json = config_json(model, tokens, config.modules_to_save);
  json["prefix_projection"] = config.prefix_projection;
  json["encoder_hidden_size"] = middle;
  json["init_weights"] = config.init_zero ? Json("zero") : Json(nullptr);
  add(model, name, std::move(tokens), json, config.modules_to_save);
}

}  // namespace mica
