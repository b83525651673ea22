// GenerationConfig as JSON: one list of its fields serves reading, writing and merging.

#include <algorithm>
#include <cctype>
#include <cmath>
#include <type_traits>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/base/json.h"
#include "mica/models/generation/generation_config.h"

namespace mica {
namespace {

// Calls visit(key, field of each config) for every field, in the order in which they are written.
template <typename Visit, typename... Configs>
void for_each_field(Visit&& visit, Configs&... c) {
  visit("max_length", c.max_length...);
  visit("max_new_tokens", c.max_new_tokens...);
  visit("min_length", c.min_length...);
  visit("min_new_tokens", c.min_new_tokens...);
  visit("early_stopping", c.early_stopping...);
  visit("max_time", c.max_time...);
  visit("stop_strings", c.stop_strings...);
  visit("truncate_prompt", c.truncate_prompt...);
  visit("do_sample", c.do_sample...);
  visit("num_beams", c.num_beams...);
  visit("seed", c.seed...);
  visit("cache_implementation", c.cache_implementation...);
  visit("cache_config", c.cache_config...);
  visit("temperature", c.temperature...);
  visit("top_k", c.top_k...);
  visit("top_p", c.top_p...);
  visit("min_p", c.min_p...);
  visit("top_h", c.top_h...);
  visit("typical_p", c.typical_p...);
  visit("epsilon_cutoff", c.epsilon_cutoff...);
  visit("eta_cutoff", c.eta_cutoff...);
  visit("repetition_penalty", c.repetition_penalty...);
  visit("encoder_repetition_penalty", c.encoder_repetition_penalty...);
  visit("length_penalty", c.length_penalty...);
  visit("no_repeat_ngram_size", c.no_repeat_ngram_size...);
  visit("encoder_no_repeat_ngram_size", c.encoder_no_repeat_ngram_size...);
  visit("bad_words_ids", c.bad_words_ids...);
  visit("sequence_bias", c.sequence_bias...);
  visit("renormalize_logits", c.renormalize_logits...);
  visit("remove_invalid_values", c.remove_invalid_values...);
  visit("exponential_decay_length_penalty", c.exponential_decay_length_penalty...);
  visit("forced_bos_token_id", c.forced_bos_token_id...);
  visit("forced_eos_token_id", c.forced_eos_token_id...);
  visit("suppress_tokens", c.suppress_tokens...);
  visit("begin_suppress_tokens", c.begin_suppress_tokens...);
  visit("num_return_sequences", c.num_return_sequences...);
  visit("output_scores", c.output_scores...);
  visit("output_logits", c.output_logits...);
  visit("output_transition_scores", c.output_transition_scores...);
  visit("pad_token_id", c.pad_token_id...);
  visit("bos_token_id", c.bos_token_id...);
  visit("eos_token_id", c.eos_token_id...);
  visit("decoder_start_token_id", c.decoder_start_token_id...);
  visit("num_assistant_tokens", c.num_assistant_tokens...);
  visit("num_assistant_tokens_schedule", c.num_assistant_tokens_schedule...);
  visit("assistant_confidence_threshold", c.assistant_confidence_threshold...);
  visit("prompt_lookup_num_tokens", c.prompt_lookup_num_tokens...);
  visit("max_matching_ngram_size", c.max_matching_ngram_size...);
}

template <typename Visit, typename... Configs>
void for_each_cache_field(Visit&& visit, Configs&... c) {
  visit("backend", c.backend...);
  visit("nbits", c.nbits...);
  visit("axis_key", c.axis_key...);
  visit("axis_value", c.axis_value...);
  visit("q_group_size", c.q_group_size...);
  visit("residual_length", c.residual_length...);
}

// ---- reading -------------------------------------------------------------------------------------------------------

// Where a value stands, for errors.
struct Place {
  const char* key;
  const std::string& where;

  [[noreturn]] void wrong(const Json& value, const char* wanted) const {
    throw Error(std::string("key \"") + key + "\" is " +
                    printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60),
                where, std::string("it must be ") + wanted);
  }
};

void read(const Place& place, const Json& value, int64_t& out) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) place.wrong(value, "an integer below 2^63");
  if (value.is_number_integer()) {
    out = value.get<int64_t>();
  } else if (value.is_number_float() && std::abs(value.get<double>()) < 9e15 &&
             value.get<double>() == std::floor(value.get<double>())) {
    out = static_cast<int64_t>(value.get<double>());
  } else {
    place.wrong(value, "an integer");
  }
}

void read(const Place& place, const Json& value, double& out) {
  if (!value.is_number()) place.wrong(value, "a number");
  out = value.get<double>();
}

void read(const Place& place, const Json& value, bool& out) {
  if (!value.is_boolean()) place.wrong(value, "true or false");
  out = value.get<bool>();
}

void read(const Place& place, const Json& value, std::string& out) {
  if (!value.is_string()) place.wrong(value, "a string");
  out = value.get<std::string>();
}

template <typename T>
void read(const Place& place, const Json& value, std::vector<T>& out) {
  if (!value.is_array()) place.wrong(value, "a list");
  for (const Json& entry : value) read(place, entry, out.emplace_back());
}

template <typename T>
void read(const Place& place, const Json& value, OneOrMore<T>& out) {
  std::vector<T> values;
  if (value.is_array()) {
    read(place, value, values);
  } else {
    read(place, value, values.emplace_back());
  }
  out = OneOrMore<T>(std::move(values));
}

void read(const Place& place, const Json& value, SequenceBias& out) {
  if (!value.is_array() || value.size() != 2) place.wrong(value, "pairs of a list of ids and a bias");
  read(place, value[0], out.ids);
  read(place, value[1], out.bias);
}

// As a list of [ids, bias], or as an object whose keys are Python's spelling of a tuple: {"(5, 7)": -1.5}.
void read(const Place& place, const Json& value, std::vector<SequenceBias>& out) {
  if (value.is_array()) return read<SequenceBias>(place, value, out);
  if (!value.is_object()) place.wrong(value, "a list of [ids, bias]");
  for (const auto& [key, bias] : value.items()) {
    SequenceBias& entry = out.emplace_back();
    int64_t id = -1;
    for (const char c : key + " ") {
      if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
        id = 10 * std::max<int64_t>(id, 0) + (c - '0');
        if (id > INT32_MAX) place.wrong(value, "made of token ids");
      } else if (c != '(' && c != ')' && c != '[' && c != ']' && c != ',' && c != ' ') {
        place.wrong(value, "a list of [ids, bias]");
      } else if (id >= 0) {
        entry.ids.push_back(id);
        id = -1;
      }
    }
    read(place, bias, entry.bias);
  }
}

void read(const Place& place, const Json& value, LengthDecay& out) {
  if (!value.is_array() || value.size() != 2) place.wrong(value, "a pair: start, factor");
  read(place, value[0], out.start);
  read(place, value[1], out.factor);
}

void read(const Place& place, const Json& value, CacheConfig& out) {
  if (!value.is_object()) place.wrong(value, "an object");
  Json keys = value;
  for_each_cache_field(
      [&](const char* key, auto& field) {
        const auto it = keys.find(key);
        if (it == keys.end()) return;
        if (!it->is_null()) read({key, place.where}, *it, field.emplace());
        keys.erase(it);
      },
      out);
  if (!keys.empty()) place.wrong(value, "of nbits, axis_key, axis_value, q_group_size, residual_length, backend");
}

void read(const Place& place, const Json& value, EarlyStopping& out) {
  if (value == "never") {
    out = EarlyStopping::never;
  } else if (value.is_boolean()) {
    out = value.get<bool>();
  } else {
    place.wrong(value, "true, false or \"never\"");
  }
}

template <typename T>
void read(const Place& place, const Json& value, std::optional<T>& out) {
  if constexpr (std::is_same_v<T, EarlyStopping>) {
    read(place, value, out.emplace(EarlyStopping::no));
  } else {
    read(place, value, out.emplace());
  }
}

// ---- writing -------------------------------------------------------------------------------------------------------

template <typename T>
Json written(const T& value) {
  return Json(value);
}
Json written(const EarlyStopping& value) {
  return value == EarlyStopping::never ? Json("never") : Json(value == EarlyStopping::yes);
}
Json written(const std::vector<SequenceBias>& value) {
  Json list = Json::array();
  for (const SequenceBias& entry : value) list.push_back(Json::array({entry.ids, entry.bias}));
  return list;
}
Json written(const LengthDecay& value) {
  return Json::array({value.start, value.factor});
}
Json written(const CacheConfig& value) {
  Json object = Json::object();
  for_each_cache_field(
      [&](const char* key, const auto& field) {
        if (field) object[key] = *field;
      },
      value);
  return object;
}
template <typename T>
Json written(const std::optional<T>& value) {
  return written(*value);
}
template <typename T>
Json written(const OneOrMore<T>& value) {
  return value.values().size() == 1 ? Json(value.values()[0]) : Json(value.values());
}

// ---- the whole -----------------------------------------------------------------------------------------------------

// Takes the fields out of `keys`; those in `config` that are given already stay.
void take_fields(Json& keys, const std::string& where, GenerationConfig& config) {
  for_each_field(
      [&](const char* key, auto& field) {
        const auto it = keys.find(key);
        if (it == keys.end()) return;
        if (!it->is_null() && !field.has_value()) read({key, where}, *it, field);
        keys.erase(it);
      },
      config);
}

Json parse_object(std::string_view text, const std::string& where) {
  Json keys = parse_json(text, where);
  if (!keys.is_object()) throw Error("not a JSON object", where, "settings are an object with keys");
  return keys;
}

}  // namespace

GenerationConfig GenerationConfig::from_json(std::string_view text, const std::string& where) {
  GenerationConfig config;
  Json keys = parse_object(text, where);
  take_fields(keys, where, config);
  config.other_keys = dump_json(keys);
  return config;
}

GenerationConfig GenerationConfig::from_model_config(const Config& config) {
  GenerationConfig result;
  const std::string& where = config.where();
  Json keys = parse_json(config.to_json(), where);
  const auto forced = keys.find("force_bos_token_to_be_generated");
  const bool force_bos = forced != keys.end() && *forced == true;
  keys.erase("seed");  // mica's own name here, another's there
  take_fields(keys, where, result);
  if (force_bos) result.forced_bos_token_id = result.bos_token_id;
  for (const char* name : {"decoder", "generator", "text_config"}) {
    const auto it = keys.find(name);
    if (it == keys.end() || !it->is_object() || it->empty()) continue;
    Json inner = *it;
    take_fields(inner, where + ": " + name, result);
    break;
  }
  return result;
}

GenerationConfig GenerationConfig::from_pretrained(const std::string& name_or_folder) {
  const std::string folder = resolve_model_folder(name_or_folder);
  const std::string path = join_path(folder, "generation_config.json");
  if (file_exists(path)) return from_json(read_file(path, 100'000'000), path);
  const std::string config = join_path(folder, "config.json");
  return from_model_config(Config::from_json(read_file(config, 100'000'000), config));
}

GenerationConfig GenerationConfig::with(const GenerationConfig& over) const {
  GenerationConfig result = *this;
  for_each_field(
      [](const char*, auto& field, const auto& other) {
        if (other.has_value()) field = other;
      },
      result, over);
  // A call's limit of one kind overrules the file's of the other.
  if (over.max_length && !over.max_new_tokens) result.max_new_tokens.reset();
  if (over.min_length && !over.min_new_tokens) result.min_new_tokens.reset();
  // Nor are the settings of one kind of cache those of another.
  if (over.cache_implementation && !over.cache_config && over.cache_implementation != cache_implementation) {
    result.cache_config.reset();
  }
  Json keys = parse_object(other_keys, "other_keys");
  const Json others = parse_object(over.other_keys, "other_keys");
  for (const auto& [key, value] : others.items()) keys[key] = value;
  result.other_keys = dump_json(keys);
  return result;
}

std::string GenerationConfig::to_json() const {
  Json keys = Json::object();
  for_each_field(
      [&](const char* key, const auto& field) {
        if (field.has_value()) keys[key] = written(field);
      },
      *this);
  const Json others = parse_object(other_keys, "other_keys");
  for (const auto& [key, value] : others.items()) keys[key] = value;
  return dump_json(keys);
}

void GenerationConfig::save_pretrained(const std::string& folder) const {
  make_directories(folder);
  write_file_atomically(join_path(folder, "generation_config.json"), to_json());
}

}  // namespace mica
