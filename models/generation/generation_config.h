#pragma once
// GenerationConfig: every setting of generate(), with transformers' names and meanings.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/models/config.h"

namespace mica {

/// One value or several, as files write both: `= 2` and `= {2, 3}`. A default-made one is not given; none() is given
/// and empty, which switches a setting off that a model's file switches on.
template <typename T>
class OneOrMore {
 public:
  OneOrMore() = default;
  OneOrMore(T value) : values_{std::move(value)}, given_(true) {}  // NOLINT(google-explicit-constructor)
  OneOrMore(std::initializer_list<T> values) : values_(values), given_(true) {}
  OneOrMore(std::vector<T> values) : values_(std::move(values)), given_(true) {}  // NOLINT(google-explicit-constructor)
  static OneOrMore none() { return OneOrMore(std::vector<T>{}); }

  bool has_value() const { return given_; }
  bool empty() const { return values_.empty(); }
  const std::vector<T>& values() const { return values_; }
  bool operator==(const OneOrMore&) const = default;

 private:
  std::vector<T> values_;
  bool given_ = false;
};

using TokenIds = OneOrMore<int64_t>;
using Texts = OneOrMore<std::string>;

/// When beam search ends: at num_beams finished texts (true), when better ones are unlikely (false), or when there can
/// be none ("never").
class EarlyStopping {
 public:
  enum Value : uint8_t { no, yes, never };
  EarlyStopping(Value value) : value_(value) {}            // NOLINT(google-explicit-constructor)
  EarlyStopping(bool value) : value_(value ? yes : no) {}  // NOLINT(google-explicit-constructor)
  EarlyStopping(const char* text);                         // NOLINT(google-explicit-constructor)
  operator Value() const { return value_; }                // NOLINT(google-explicit-constructor)

 private:
  Value value_;
};

/// A bias for the last token of `ids` where the text ends with the others.
struct SequenceBias {
  std::vector<int64_t> ids;
  double bias = 0;
  bool operator==(const SequenceBias&) const = default;
};

/// From `start` new tokens on, the end token's logit grows by |logit| (factor^n - 1), n the tokens beyond.
struct LengthDecay {
  int64_t start = 0;
  double factor = 1;
  bool operator==(const LengthDecay&) const = default;
};

/// Of a cache in 8 bits (cache_implementation "quantized"). What mica doesn't follow is an Error unless it asks for
/// what mica does; defaults are mica's own.
struct CacheConfig {
  std::optional<std::string> backend{};      ///< "hqq", the one whose options these are
  std::optional<int64_t> nbits{};            ///< 8
  std::optional<int64_t> axis_key{};         ///< 1: a scale serves neighbours along a head's dimension
  std::optional<int64_t> axis_value{};       ///< 1
  std::optional<int64_t> q_group_size{};     ///< 64: how many; the last group of a head may have fewer
  std::optional<int64_t> residual_length{};  ///< 128: the newest tokens, which are kept as they are
  bool operator==(const CacheConfig&) const = default;
};

/// Settings that are not given are taken from the model's own (with()), and at last from resolved()'s defaults, which
/// stand behind each field. So one type serves as a file's content and as the options of a call:
///
///     generate(session, prompts, model_config.with({.max_new_tokens = 50, .do_sample = true, .temperature = 0.7}))
struct GenerationConfig {
  // Length
  std::optional<int64_t> max_length{};            ///< of the whole row; without any limit, 20 new tokens
  std::optional<int64_t> max_new_tokens{};        ///< wins over max_length
  std::optional<int64_t> min_length{};            ///< 0
  std::optional<int64_t> min_new_tokens{};        ///< wins over min_length
  std::optional<EarlyStopping> early_stopping{};  ///< false
  std::optional<double> max_time{};               ///< seconds; the step under way is finished
  Texts stop_strings{};                           ///< need GenerationHooks::decode
  /// Mica's own: a prompt that leaves too little of the model's context to the new tokens loses its oldest tokens, all
  /// but a start token. Not given: a prompt beyond the context is an Error. Of Model::generate, not of sessions.
  std::optional<bool> truncate_prompt{};

  // Strategy
  std::optional<bool> do_sample{};     ///< false
  std::optional<int64_t> num_beams{};  ///< 1: no beam search
  /// Mica's own: the same seed, prompt and settings give the same text, in whatever batch. Not given: from the thread's
  /// generator (manual_seed).
  std::optional<int64_t> seed{};

  // Cache: of Model::generate and chats, not of sessions, which have one already
  /// "dynamic", "static", "sliding_window", "hybrid": keys and values as they are; "quantized": the older ones in 8
  /// bits. "dynamic".
  std::optional<std::string> cache_implementation{};
  std::optional<CacheConfig> cache_config{};

  // Logits
  std::optional<double> temperature{};                    ///< 1
  std::optional<int64_t> top_k{};                         ///< 50; 0: off
  std::optional<double> top_p{};                          ///< 1: off
  std::optional<double> min_p{};                          ///< off
  std::optional<double> top_h{};                          ///< off
  std::optional<double> typical_p{};                      ///< 1: off
  std::optional<double> epsilon_cutoff{};                 ///< 0: off
  std::optional<double> eta_cutoff{};                     ///< 0: off
  std::optional<double> repetition_penalty{};             ///< 1: off
  std::optional<double> encoder_repetition_penalty{};     ///< 1: off
  std::optional<double> length_penalty{};                 ///< 1; of beams: score = sum of log p / length^penalty
  std::optional<int64_t> no_repeat_ngram_size{};          ///< 0: off
  std::optional<int64_t> encoder_no_repeat_ngram_size{};  ///< 0: off
  std::optional<std::vector<std::vector<int64_t>>> bad_words_ids{};
  std::optional<std::vector<SequenceBias>> sequence_bias{};
  std::optional<bool> renormalize_logits{};     ///< false
  std::optional<bool> remove_invalid_values{};  ///< false
  std::optional<LengthDecay> exponential_decay_length_penalty{};
  std::optional<int64_t> forced_bos_token_id{};
  TokenIds forced_eos_token_id{};
  TokenIds suppress_tokens{};
  TokenIds begin_suppress_tokens{};

  // Output
  std::optional<int64_t> num_return_sequences{};  ///< 1
  std::optional<bool> output_scores{};            ///< false
  std::optional<bool> output_logits{};            ///< false
  /// Mica's own: transition scores and log probabilities of the chosen tokens, without whole rows of scores. False.
  std::optional<bool> output_transition_scores{};

  // Special tokens. A negative id, as some files have, stands for none.
  std::optional<int64_t> pad_token_id{};  ///< else the first end token
  std::optional<int64_t> bos_token_id{};
  TokenIds eos_token_id{};
  TokenIds decoder_start_token_id{};  ///< one, or one for each prompt

  // Assisted decoding: with a draft session in the hooks, or by looking the text up in the prompt
  std::optional<int64_t> num_assistant_tokens{};               ///< 20
  std::optional<std::string> num_assistant_tokens_schedule{};  ///< "constant", "heuristic", "heuristic_transient"
  std::optional<double> assistant_confidence_threshold{};      ///< 0.4
  std::optional<int64_t> prompt_lookup_num_tokens{};
  std::optional<int64_t> max_matching_ngram_size{};  ///< 2

  /// A JSON object with all other keys of the file, written back by to_json().
  std::string other_keys = "{}";

  /// The text of a generation_config.json. Throws Error, naming `where`, for a known key of another type than its own.
  static GenerationConfig from_json(std::string_view text, const std::string& where = "generation_config.json");
  /// The older place: settings among those of config.json, or of its "decoder", "generator" or "text_config".
  static GenerationConfig from_model_config(const Config& config);
  /// A folder's or hub id's generation_config.json; where there is none, from_model_config of its config.json.
  static GenerationConfig from_pretrained(const std::string& name_or_folder);

  /// These settings, but for what `over` gives.
  GenerationConfig with(const GenerationConfig& over) const;
  /// With the defaults of everything that has one, and negative ids left out.
  GenerationConfig resolved() const;
  /// Throws Error for settings that cannot be, contradict each other, or ask for what mica doesn't do.
  void validate() const;

  std::string to_json() const;
  /// Writes generation_config.json into the folder, which is made if need be.
  void save_pretrained(const std::string& folder) const;
};

}  // namespace mica
