#include "mica/training/pretraining.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/table.h"
#include "mica/tokenizers/trainers/training.h"

namespace mica {
namespace {

bool is_model_type(const std::string& name) {
  const auto& table = families_table();
  return std::any_of(table.begin(), table.end(), [&](const Family& family) { return family.model_type == name; });
}

Task language_task(const Family& family, std::optional<Task> wanted) {
  for (const Task task : {Task::masked_lm, Task::causal_lm}) {
    if (family.has(task) && wanted.value_or(task) == task) return task;
  }
  throw Error(
      "no " + std::string(name(wanted.value_or(Task::masked_lm))) + " for model_type " + std::string(family.model_type),
      "pretraining", "choose a family that has it: `mica info` shows the table");
}

Tokenizer tokenizer_for(const std::string& name, bool has_folder, Task task, const std::vector<std::string>& corpus,
                        const FromScratchOptions& options, int64_t vocab_size) {
  if (!options.tokenizer.empty()) return Tokenizer::from_pretrained(options.tokenizer);
  if (has_folder && options.vocab_size == 0) return Tokenizer::from_pretrained(name);
  if (corpus.empty()) throw Error("no texts to train a tokenizer on", "pretraining", "name a tokenizer");
  TokenizerRecipe recipe;
  recipe.model = task == Task::masked_lm ? "wordpiece" : "bpe";
  recipe.vocab_size = options.vocab_size > 0 ? options.vocab_size : vocab_size;
  return train_tokenizer(text_files(corpus), recipe);
}

}  // namespace

ModelAndTokenizer from_scratch(const std::string& name, const std::vector<std::string>& corpus,
                               const FromScratchOptions& options) {
  const bool by_type = is_model_type(name) && !directory_exists(name);
  Config config = by_type ? AutoConfig::for_model(name) : AutoConfig::from_pretrained(name);
  const Task task = language_task(family_of(config.model_type.value()), options.task);
  for (const auto& [key, value] : options.config) config.set_json(key, value);
  Tokenizer tokenizer = tokenizer_for(name, !by_type, task, corpus, options, config.vocab_size.value());
  const auto is_set = [&](const char* key) {
    return std::any_of(options.config.begin(), options.config.end(),
                       [&](const auto& each) { return each.first == key; });
  };
  if (!is_set("vocab_size")) config.set("vocab_size", tokenizer.size());
  const std::pair<const char*, std::optional<int32_t>> ids[] = {{"pad_token_id", tokenizer.pad_token_id()},
                                                                {"bos_token_id", tokenizer.bos_token_id()},
                                                                {"eos_token_id", tokenizer.eos_token_id()}};
  for (const auto& [key, id] : ids) {
    if (is_set(key)) continue;
    if (id) {
      config.set(key, static_cast<int64_t>(*id));
    } else if (config.has(key) && config.integer(key) >= tokenizer.size()) {
      config.set_json(key, "null");
    }
  }
  Model model = Model::from_config(config, task, {.dtype = options.dtype});
  if (!tokenizer.model_max_length() && model.max_tokens() > 0) tokenizer.set_model_max_length(model.max_tokens());
  return {std::move(model), std::move(tokenizer)};
}

}  // namespace mica
