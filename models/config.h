#pragma once
// config.json, kept whole: known keys typed and range-checked, unknown keys kept and written back.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mica {

class Config;

/// One well-known key as a member: reads like a value, writes through to the config. `config.hidden_size = 128;`
template <typename T>
class ConfigField {
 public:
  ConfigField(Config* config, const char* key) : config_(config), key_(key) {}
  ConfigField(const ConfigField&) = delete;
  ConfigField& operator=(const ConfigField& other) { return *this = static_cast<T>(other); }
  ConfigField& operator=(const T& value);
  operator T() const;
  T value() const { return static_cast<T>(*this); }

 private:
  Config* config_;
  const char* key_;
};

/// What a family's configs look like: the values of keys that a file may leave out, and the family's own spelling of
/// common names ("hidden_size" is "dim" in a distilbert file).
struct ConfigSchema {
  const char* defaults = "{}";  ///< a JSON object
  std::vector<std::pair<const char*, const char*>> aliases;
  const ConfigSchema* base = nullptr;  ///< a family from which these defaults and spellings differ; the rest is its own
};

class Config {
 public:
  Config();
  /// A config with the schema's defaults only.
  Config(std::string_view model_type, const ConfigSchema& schema);
  /// The text of a config.json. Throws Error, naming `where`, unless it is one object. The schema is attached later,
  /// by attach(), once the model_type is known.
  static Config from_json(std::string_view text, const std::string& where = "config.json");
  Config(const Config& other);
  Config(Config&& other) noexcept;
  Config& operator=(const Config& other);
  Config& operator=(Config&& other) noexcept;
  ~Config();

  void attach(const ConfigSchema& schema);
  /// The file or name that it came from, for errors.
  const std::string& where() const;

  // Common keys, in every family's own spelling on disk. Reading one that neither the file nor the family's defaults
  // have, or that has the wrong type, throws Error naming file and key.
  ConfigField<std::string> model_type{this, "model_type"};
  ConfigField<int64_t> vocab_size{this, "vocab_size"};
  ConfigField<int64_t> hidden_size{this, "hidden_size"};
  ConfigField<int64_t> num_hidden_layers{this, "num_hidden_layers"};
  ConfigField<int64_t> num_attention_heads{this, "num_attention_heads"};
  ConfigField<int64_t> intermediate_size{this, "intermediate_size"};
  ConfigField<int64_t> max_position_embeddings{this, "max_position_embeddings"};
  ConfigField<int64_t> type_vocab_size{this, "type_vocab_size"};
  ConfigField<int64_t> pad_token_id{this, "pad_token_id"};
  ConfigField<std::string> hidden_act{this, "hidden_act"};
  ConfigField<double> hidden_dropout_prob{this, "hidden_dropout_prob"};
  ConfigField<double> attention_probs_dropout_prob{this, "attention_probs_dropout_prob"};
  ConfigField<double> layer_norm_eps{this, "layer_norm_eps"};
  ConfigField<double> initializer_range{this, "initializer_range"};
  ConfigField<bool> is_decoder{this, "is_decoder"};
  ConfigField<bool> tie_word_embeddings{this, "tie_word_embeddings"};
  /// The number of id2label's entries, 2 where there is none; writing it names the labels LABEL_0, LABEL_1, ...
  ConfigField<int64_t> num_labels{this, "num_labels"};
  /// "regression", "single_label_classification", "multi_label_classification", or "" to be decided by the labels.
  ConfigField<std::string> problem_type{this, "problem_type"};

  // Any key, by name.
  bool has(std::string_view key) const;  ///< present (in the file or the defaults) and not null
  int64_t integer(std::string_view key) const;
  int64_t integer(std::string_view key, int64_t fallback) const;
  double number(std::string_view key) const;
  double number(std::string_view key, double fallback) const;
  bool flag(std::string_view key, bool fallback = false) const;
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, std::string_view fallback) const;
  std::vector<std::string> texts(std::string_view key) const;  ///< a list of strings; empty when absent
  std::vector<double> numbers(std::string_view key) const;     ///< a list of numbers; empty when absent
  /// A nested object ("rope_parameters") as a config of its own, with an empty schema.
  Config object(std::string_view key) const;
  void set(std::string_view key, int64_t value);
  void set(std::string_view key, int value) { set(key, static_cast<int64_t>(value)); }
  void set(std::string_view key, double value);
  void set(std::string_view key, bool value);
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, const std::vector<std::string>& values);
  /// Sets a key to a value written as JSON ("3", "0.5", "true", "[1, 2]"); text that is no JSON is taken as a string.
  void set_json(std::string_view key, std::string_view value);
  /// Takes a key away, if there is one: it then is what the family's defaults say.
  void remove(std::string_view key);
  /// The value of any key as JSON text; "null" when absent.
  std::string json(std::string_view key) const;

  /// integer(), which must lie in [low, high]; the Error names file, key, value and range.
  int64_t integer_in(std::string_view key, int64_t low, int64_t high) const;
  double number_in(std::string_view key, double low, double high) const;

  /// Names of the labels by id, from id2label; LABEL_0, ... where it is silent.
  std::vector<std::string> labels() const;
  void set_labels(const std::vector<std::string>& names);

  /// The whole config as the text of a config.json.
  std::string to_json() const;
  /// Writes config.json into the folder, which is made if need be.
  void save_pretrained(const std::string& folder) const;

 private:
  struct Impl;
  Impl& mutable_impl();
  std::shared_ptr<Impl> impl_;
};

template <>
inline ConfigField<int64_t>::operator int64_t() const {
  return config_->integer(key_);
}
template <>
inline ConfigField<double>::operator double() const {
  return config_->number(key_);
}
template <>
inline ConfigField<bool>::operator bool() const {
  return config_->flag(key_);
}
template <>
inline ConfigField<std::string>::operator std::string() const {
  return config_->text(key_, "");
}
template <typename T>
ConfigField<T>& ConfigField<T>::operator=(const T& value) {
  config_->set(key_, value);
  return *this;
}

}  // namespace mica
