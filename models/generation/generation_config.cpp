#include "mica/models/generation/generation_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/cache_settings.h"

namespace mica {
namespace {

constexpr const char* kWhere = "generation settings";

[[noreturn]] void refuse(const std::string& problem, const std::string& mend) {
  throw Error(problem, kWhere, mend);
}

std::string shown(double value) {
  return Json(value).dump();
}

void require(bool holds, const char* name, double value, const char* range) {
  if (!holds) refuse(std::string(name) + " is " + shown(value), std::string("it must be ") + range);
}

void check_sampling(const GenerationConfig& c) {
  if (!*c.do_sample) return;  // of no effect, and files do hold odd values beside do_sample = false
  if (!(*c.temperature > 0)) {
    refuse("temperature is " + shown(*c.temperature),
           "it must be above 0; for the likeliest tokens, leave do_sample off");
  }
  require(*c.top_k >= 0, "top_k", static_cast<double>(*c.top_k), "0 (off) or more");
  require(*c.top_p > 0 && *c.top_p <= 1, "top_p", *c.top_p, "above 0 and at most 1");
  if (c.min_p) require(*c.min_p >= 0 && *c.min_p <= 1, "min_p", *c.min_p, "from 0 to 1");
  if (c.top_h) require(*c.top_h > 0 && *c.top_h <= 1, "top_h", *c.top_h, "above 0 and at most 1");
  require(*c.typical_p > 0 && *c.typical_p <= 1, "typical_p", *c.typical_p, "above 0 and at most 1");
  require(*c.epsilon_cutoff >= 0 && *c.epsilon_cutoff < 1, "epsilon_cutoff", *c.epsilon_cutoff, "from 0 to below 1");
  require(*c.eta_cutoff >= 0 && *c.eta_cutoff < 1, "eta_cutoff", *c.eta_cutoff, "from 0 to below 1");
}

void check_lengths(const GenerationConfig& c) {
  const auto at_least = [](const std::optional<int64_t>& value, int64_t low, const char* name) {
    if (value && *value < low) {
      refuse(std::string(name) + " is " + std::to_string(*value), "it must be at least " + std::to_string(low));
    }
  };
  at_least(c.max_length, 1, "max_length");
  at_least(c.max_new_tokens, 1, "max_new_tokens");
  at_least(c.min_length, 0, "min_length");
  at_least(c.min_new_tokens, 0, "min_new_tokens");
  at_least(c.num_beams, 1, "num_beams");
  at_least(c.num_return_sequences, 1, "num_return_sequences");
  at_least(c.no_repeat_ngram_size, 0, "no_repeat_ngram_size");
  at_least(c.encoder_no_repeat_ngram_size, 0, "encoder_no_repeat_ngram_size");
  at_least(c.num_assistant_tokens, 1, "num_assistant_tokens");
  at_least(c.prompt_lookup_num_tokens, 1, "prompt_lookup_num_tokens");
  at_least(c.max_matching_ngram_size, 1, "max_matching_ngram_size");
  if (c.max_time) require(*c.max_time > 0, "max_time", *c.max_time, "a number of seconds above 0");
}

void check_number_of_texts(const GenerationConfig& c) {
  const std::string texts = "num_return_sequences is " + std::to_string(*c.num_return_sequences);
  if (*c.num_beams == 1 && !*c.do_sample && *c.num_return_sequences > 1) {
    refuse(texts + ", but greedy decoding finds one text", "set do_sample, or num_beams to at least as many");
  }
  if (*c.num_beams > 1 && *c.num_return_sequences > *c.num_beams) {
    refuse(texts + ", but num_beams is " + std::to_string(*c.num_beams), "ask for at most as many texts as beams");
  }
}

void check_tokens(const GenerationConfig& c) {
  const auto not_negative = [](const std::vector<int64_t>& ids, const char* name) {
    for (const int64_t id : ids) {
      if (id < 0) refuse(std::string(name) + " holds the id " + std::to_string(id), "ids are 0 or more");
    }
  };
  for (const auto& word : c.bad_words_ids.value_or(std::vector<std::vector<int64_t>>{})) {
    not_negative(word, "bad_words_ids");
    if (word.empty()) refuse("bad_words_ids holds an empty list", "give each at least one id");
  }
  for (const SequenceBias& entry : c.sequence_bias.value_or(std::vector<SequenceBias>{})) {
    not_negative(entry.ids, "sequence_bias");
    if (entry.ids.empty()) refuse("sequence_bias holds an empty list", "give each at least one id");
    if (std::isnan(entry.bias)) refuse("sequence_bias holds an undefined bias", "give a number");
  }
  for (const std::string& text : c.stop_strings.values()) {
    if (text.empty()) refuse("a stop string is empty", "give it at least one character");
  }
  // A forced token that is suppressed leaves none at all.
  const auto suppressed = [&c](int64_t id) {
    const auto& ids = c.suppress_tokens.values();
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  const auto& ends = c.forced_eos_token_id.values();
  if ((c.forced_bos_token_id && suppressed(*c.forced_bos_token_id)) ||
      (!ends.empty() && std::all_of(ends.begin(), ends.end(), suppressed))) {
    refuse("a forced token is also in suppress_tokens", "take it out of one of them");
  }
  if (c.exponential_decay_length_penalty && c.eos_token_id.empty()) {
    refuse("exponential_decay_length_penalty without an end token", "give eos_token_id");
  }
}

// Keys for what transformers does or did and mica does not, with the values that switch it off.
void check_other_keys(const GenerationConfig& c) {
  struct Unsupported {
    const char* key;
    const char* off;  // JSON
    const char* instead;
  };
  static constexpr std::array<Unsupported, 12> table{{
      {"num_beam_groups", "1", "beams in groups: leave it out, and use num_beams or do_sample"},
      {"diversity_penalty", "0", "beams in groups: leave it out"},
      {"penalty_alpha", "0", "contrastive search: leave it out, and use do_sample with top_k"},
      {"dola_layers", "null", "contrast of layers: leave it out"},
      {"constraints", "null", "constrained beams: use a TokenConstraint"},
      {"force_words_ids", "null", "constrained beams: use a TokenConstraint or sequence_bias"},
      {"guidance_scale", "1", "classifier-free guidance: leave it out"},
      {"watermarking_config", "null", "watermarks: leave it out"},
      {"token_healing", "false", "healing the prompt's last token: leave it out"},
      {"assistant_ensemble_weight", "null", "a mixture of both models: leave it out"},
      {"assistant_early_exit", "null", "drafts of the lower layers: use a draft model"},
      {"use_mtp", "false", "drafts of the model's own: use a draft model"},
  }};
  const Json keys = parse_json(c.other_keys, kWhere);
  for (const Unsupported& entry : table) {
    const auto it = keys.find(entry.key);
    if (it == keys.end() || it->is_null()) continue;
    const Json off = parse_json(entry.off, kWhere);
    // Compared as numbers: 1.0 is 1.
    if (it->is_number() && off.is_number() && it->get<double>() == off.get<double>()) continue;
    if (*it == off) continue;
    refuse(std::string("key \"") + entry.key + "\" is set", std::string("mica has no ") + entry.instead);
  }
}

}  // namespace

EarlyStopping::EarlyStopping(const char* text) : value_(no) {
  if (std::strcmp(text, "never") == 0) {
    value_ = never;
  } else {
    refuse("early_stopping is \"" + printable(text) + "\"", "use true, false or \"never\"");
  }
}

GenerationConfig GenerationConfig::resolved() const {
  GenerationConfig c = *this;
  const auto fallback = [](auto& field, auto value) {
    if (!field) field = value;
  };
  fallback(c.min_length, 0);
  fallback(c.early_stopping, EarlyStopping::no);
  fallback(c.do_sample, false);
  fallback(c.num_beams, 1);
  fallback(c.temperature, 1.0);
  fallback(c.top_k, 50);
  fallback(c.top_p, 1.0);
  fallback(c.typical_p, 1.0);
  fallback(c.epsilon_cutoff, 0.0);
  fallback(c.eta_cutoff, 0.0);
  fallback(c.repetition_penalty, 1.0);
  fallback(c.encoder_repetition_penalty, 1.0);
  fallback(c.length_penalty, 1.0);
  fallback(c.no_repeat_ngram_size, 0);
  fallback(c.encoder_no_repeat_ngram_size, 0);
  fallback(c.renormalize_logits, false);
  fallback(c.remove_invalid_values, false);
  fallback(c.num_return_sequences, 1);
  fallback(c.output_scores, false);
  fallback(c.output_logits, false);
  fallback(c.output_transition_scores, false);
  fallback(c.num_assistant_tokens, 20);
  fallback(c.num_assistant_tokens_schedule, "constant");
  fallback(c.assistant_confidence_threshold, 0.4);
  fallback(c.max_matching_ngram_size, 2);
  for (auto* id : {&c.pad_token_id, &c.bos_token_id, &c.forced_bos_token_id}) {
    if (*id && **id < 0) id->reset();
  }
  for (TokenIds* ids : {&c.eos_token_id, &c.forced_eos_token_id, &c.decoder_start_token_id}) {
    std::vector<int64_t> kept;
    std::copy_if(ids->values().begin(), ids->values().end(), std::back_inserter(kept),
                 [](int64_t id) { return id >= 0; });
    if (kept.size() < ids->values().size()) *ids = kept;
  }
  return c;
}

void GenerationConfig::validate() const {
  const GenerationConfig c = resolved();
  check_sampling(c);
  check_lengths(c);
  check_number_of_texts(c);
  check_tokens(c);
  require(*c.repetition_penalty > 0, "repetition_penalty", *c.repetition_penalty, "above 0");
  require(*c.encoder_repetition_penalty > 0, "encoder_repetition_penalty", *c.encoder_repetition_penalty, "above 0");
  require(std::isfinite(*c.length_penalty), "length_penalty", *c.length_penalty, "a finite number");
  const std::string& schedule = *c.num_assistant_tokens_schedule;
  if (schedule != "constant" && schedule != "heuristic" && schedule != "heuristic_transient") {
    refuse("num_assistant_tokens_schedule is \"" + printable(schedule) + "\"",
           "use constant, heuristic or heuristic_transient");
  }
  cache_quantization(c);
  check_other_keys(c);
}

}  // namespace mica
