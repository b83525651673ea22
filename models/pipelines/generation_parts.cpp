#include "mica/models/pipelines/generation_parts.h"

#include <algorithm>
#include <numeric>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/text_streamer.h"

namespace mica {
namespace {

constexpr int64_t kDefaultNewTokens = 256;  // where neither model nor call says how long a text gets

Json task_parameters(const Config& config) {
  if (!config.has("task_specific_params")) return Json::object();
  Json tasks = parse_json(config.json("task_specific_params"), config.where());
  if (!tasks.is_object()) {
    throw Error("task_specific_params is no object", config.where(), "make it one, with a key for each task");
  }
  return tasks;
}

}  // namespace

std::vector<std::string> task_names(const Config& config) {
  std::vector<std::string> names;
  const Json tasks = task_parameters(config);
  for (const auto& [key, value] : tasks.items()) names.push_back(key);
  return names;
}

TaskSettings task_settings(const PipelineParts& parts, std::string_view task) {
  const auto& [model, tokenizer] = parts;
  TaskSettings settings{model.generation_config(), model.config().text("prefix", ""), false};
  const Json tasks = task_parameters(model.config());
  const auto found = tasks.find(std::string(task));
  if (found != tasks.end()) {
    settings.named = true;
    Json own = *found;
    const std::string where = model.config().where() + ": task_specific_params." + std::string(task);
    if (own.is_object() && own.contains("prefix")) {
      if (!own["prefix"].is_string()) throw Error("prefix is no string", where, "make it a string");
      settings.prefix = own["prefix"].get<std::string>();
      own.erase("prefix");
    }
    settings.generation = settings.generation.with(GenerationConfig::from_json(dump_json(own), where));
  }
  GenerationConfig& config = settings.generation;
  if (!config.eos_token_id.has_value() && tokenizer.eos_token_id()) config.eos_token_id = *tokenizer.eos_token_id();
  if (!config.bos_token_id && tokenizer.bos_token_id()) config.bos_token_id = *tokenizer.bos_token_id();
  if (!config.pad_token_id && tokenizer.pad_token_id()) config.pad_token_id = *tokenizer.pad_token_id();
  return settings;
}

Prompts encode_prompts(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  const std::vector<std::string_view> views = views_of(texts);
  check_texts(views);
  const BatchEncoding encoding = tokenizer.encode_batch(
      views, {}, {.truncation = Truncation::none, .return_token_type_ids = false, .return_attention_mask = false});
  Prompts prompts;
  for (const auto row : encoding.input_ids) prompts.emplace_back(row.begin(), row.end());
  return prompts;
}

std::vector<std::vector<GeneratedIds>> generate_batches(const PipelineParts& parts, const Prompts& prompts,
                                                        const GenerationConfig& settings,
                                                        const GenerationExtras& extras, int64_t batch_size,
                                                        const Progress& progress) {
  if (batch_size < 1) throw Error("batch size " + std::to_string(batch_size), "pipeline options", "use 1 or more");
  const auto& [model, tokenizer] = parts;
  GenerationConfig config = settings;
  if (!config.max_length && !config.max_new_tokens) config.max_new_tokens = kDefaultNewTokens;
  config.validate();  // before any work, and for no prompts as well
  const bool reads = model.network().shape().encoder_decoder;
  const int64_t samples = config.num_return_sequences.value_or(1);
  if (extras.on_text && samples > 1) {
    throw Error("several texts of one prompt, as they come", "generate", "set num_return_sequences to 1");
  }
  std::vector<std::vector<GeneratedIds>> results(prompts.size());
  for (size_t first = 0; first < prompts.size(); first += static_cast<size_t>(batch_size)) {
    const size_t last = std::min(prompts.size(), first + static_cast<size_t>(batch_size));
    const Prompts batch(prompts.begin() + static_cast<std::ptrdiff_t>(first),
                        prompts.begin() + static_cast<std::ptrdiff_t>(last));
    ModelInputs inputs;
    std::vector<int64_t> flat;
    for (const std::vector<int64_t>& row : batch) {
      inputs.lengths.push_back(static_cast<int64_t>(row.size()));
      flat.insert(flat.end(), row.begin(), row.end());
    }
    inputs.input_ids = Tensor::from(flat);

    GenerationHooks hooks;
    hooks.interrupt = extras.interrupt;
    hooks.decode = [&](std::span<const int64_t> ids) { return tokenizer.decode(ids); };
    if (extras.constraint != nullptr) hooks.constraints = {extras.constraint};
    std::optional<ModelSession> draft;
    if (extras.assistant) hooks.draft = &draft.emplace(start_session(*extras.assistant, inputs));
    const Prompts shown = reads ? Prompts(batch.size()) : batch;
    std::optional<TextStreamer> streamer;
    if (extras.on_text) {
      hooks.streamer = &streamer.emplace(tokenizer, shown, [&](int64_t row, std::string_view text) {
        extras.on_text(first + static_cast<size_t>(row), text);
      });
    }
    GenerationOutput output = model.generate(inputs, config, hooks);
    for (size_t row = 0; row < output.tokens.size(); ++row) {
      const size_t prompt = row / static_cast<size_t>(samples);
      results[first + prompt].push_back({shown[prompt], std::move(output.tokens[row]), output.finish[row]});
    }
    if (progress) progress(static_cast<int64_t>(last), static_cast<int64_t>(prompts.size()));
    if (extras.interrupt != nullptr && extras.interrupt->load(std::memory_order_relaxed)) break;
  }
  return results;
}

}  // namespace mica
