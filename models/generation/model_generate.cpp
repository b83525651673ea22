// Model::generate(): a model's inputs and settings to prompts and a session.

#include <algorithm>
#include <memory>

#include "mica/base/error.h"
#include "mica/base/hub.h"
#include "mica/models/auto/model.h"
#include "mica/models/auto/virtual_inputs.h"
#include "mica/models/generation/cache_settings.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/prompts.h"

namespace mica {
namespace {

constexpr int64_t kMostReserved = 2048;  // new tokens for which room is made beforehand; more make the cache grow

std::optional<int64_t> first_start(const GenerationConfig& config) {
  const std::vector<int64_t>& starts = config.decoder_start_token_id.values();
  return starts.empty() ? config.bos_token_id : std::optional<int64_t>(starts[0]);
}

// The decoder's prompts: empty ones, which begin with the start token, or those given, with the start token in front.
Prompts decoder_prompts(const ModelInputs& inputs, int64_t batch, const GenerationConfig& config) {
  if (!inputs.decoder_input_ids.defined()) return Prompts(static_cast<size_t>(batch));
  ModelInputs given;
  given.input_ids = inputs.decoder_input_ids;
  given.attention_mask = inputs.decoder_attention_mask;
  Prompts prompts = prompts_of(given);
  if (static_cast<int64_t>(prompts.size()) != batch) {
    throw Error(
        "decoder_input_ids of " + std::to_string(prompts.size()) + " rows for " + std::to_string(batch) + " inputs",
        "generate", "give one for each input");
  }
  const std::vector<int64_t>& starts = config.decoder_start_token_id.values();
  for (size_t i = 0; i < prompts.size() && !starts.empty(); ++i) {
    const int64_t start = starts[std::min(i, starts.size() - 1)];
    if (prompts[i].empty() || prompts[i].front() != start) prompts[i].insert(prompts[i].begin(), start);
  }
  return prompts;
}

void fit_prompts(Prompts& prompts, const ModelInputs& inputs, int64_t context, const GenerationConfig& config) {
  const bool truncates = config.truncate_prompt.value_or(false);
  const int64_t room = truncates ? prompt_room(context, config) : context;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (static_cast<int64_t>(prompts[i].size()) <= room) continue;
    if (!truncates) {
      throw Error("prompt " + std::to_string(i) + " has " + std::to_string(prompts[i].size()) +
                      " tokens, and the model's context " + std::to_string(context),
                  "generate", "shorten it, or set truncate_prompt to drop its oldest tokens");
    }
    if (inputs.token_type_ids.defined()) {
      throw Error("truncate_prompt with token_type_ids", "generate", "cut the prompts and their types beforehand");
    }
    prompts[i] = newest(prompts[i], room, first_start(config));
  }
}

}  // namespace

GenerationOutput Model::generate(const ModelInputs& inputs, const GenerationConfig& over,
                                 const GenerationHooks& hooks) const {
  const GenerationConfig config = generation_config().with(over);
  config.validate();
  const NetworkShape& shape = network().shape();
  if (!shape.encoder_decoder && inputs.inputs_embeds.defined()) {
    throw Error("inputs_embeds", "generate", "give input_ids: new tokens are ids, too");
  }
  const bool embedded = shape.encoder_decoder && !inputs.input_ids.defined() && inputs.inputs_embeds.defined();
  const Prompts read = embedded ? Prompts() : prompts_of(inputs);

  Prompts prompts = read;
  if (shape.encoder_decoder) {
    const auto embeds = embedded && inputs.lengths.empty() ? inputs.inputs_embeds.size(0) : 0;
    const auto batch =
        embedded ? std::max(embeds, static_cast<int64_t>(inputs.lengths.size())) : static_cast<int64_t>(read.size());
    prompts = decoder_prompts(inputs, batch, config);
  }
  const int64_t most = shape.encoder_decoder ? shape.max_target_tokens : shape.max_tokens;
  const int64_t limit = most > 0 ? std::max<int64_t>(most - virtual_positions(*this), 1) : 0;
  fit_prompts(prompts, inputs, limit > 0 ? limit : INT64_MAX, config);

  int64_t longest = 1;
  for (const std::vector<int64_t>& each : prompts) longest = std::max(longest, static_cast<int64_t>(each.size()));
  int64_t wanted = config.max_new_tokens.value_or(config.max_length.value_or(longest + 20) - longest);
  wanted = std::clamp<int64_t>(wanted, 1, kMostReserved);
  const int64_t capacity = limit > 0 ? std::min(limit, longest + wanted) : longest + wanted;
  ModelSession session = start_session(*this, inputs, capacity, cache_quantization(config));
  if (config.cache_implementation == "static") session.record_steps();

  if (!shape.encoder_decoder || hooks.encoder_ids != nullptr || embedded) {
    return mica::generate(session, prompts, config, hooks);
  }
  GenerationHooks told = hooks;
  told.encoder_ids = &read;
  return mica::generate(session, prompts, config, told);
}

GenerationOutput Model::generate(const ModelInputs& inputs, const GenerationConfig& over) const {
  return generate(inputs, over, {});
}
GenerationOutput Model::generate(const ModelInputs& inputs) const {
  return generate(inputs, {}, {});
}
GenerationOutput Model::generate(const BatchEncoding& encoding, const GenerationConfig& over,
                                 const GenerationHooks& hooks) const {
  return generate(to_inputs(encoding), over, hooks);
}
GenerationOutput Model::generate(const BatchEncoding& encoding, const GenerationConfig& over) const {
  return generate(to_inputs(encoding), over, {});
}
GenerationOutput Model::generate(const BatchEncoding& encoding) const {
  return generate(to_inputs(encoding), {}, {});
}

void Model::set_generation_config(const GenerationConfig& config) const {
  generation_config();  // an Error for a model that has none
  keep_generation_config(std::make_shared<const GenerationConfig>(config));
}

std::shared_ptr<const GenerationConfig> Model::read_generation_config(const std::string& folder, const Config& config) {
  return std::make_shared<const GenerationConfig>(folder.empty() ? GenerationConfig::from_model_config(config)
                                                                 : GenerationConfig::from_pretrained(folder));
}

void Model::save_generation_config(const GenerationConfig& config, const std::string& folder) {
  config.save_pretrained(folder);
}

}  // namespace mica
