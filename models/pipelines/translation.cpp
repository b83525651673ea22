#include "mica/models/pipelines/translation.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/models/pipelines/json_writer.h"

namespace mica {
namespace {

// The added token that stands for a language: "de_DE" itself, or "__de__" as M2M100 spells it.
std::optional<int32_t> language_token(const Tokenizer& tokenizer, const std::string& language) {
  const std::string marked = "__" + language + "__";
  for (const auto& [token, id] : tokenizer.added_tokens()) {
    if (token.content == language || token.content == marked) return id;
  }
  return std::nullopt;
}

// A token that goes before the text and names the target: ">>deu<<" of Marian's, "<2de>" of MADLAD's.
std::optional<std::string> target_mark(const Tokenizer& tokenizer, const std::string& language) {
  for (const std::string& mark : {">>" + language + "<<", "<2" + language + ">"}) {
    if (tokenizer.token_to_id(mark)) return mark;
  }
  return std::nullopt;
}

// Special tokens that stand for other things than languages.
bool is_common_token(const Tokenizer& tokenizer, int32_t id) {
  for (const std::optional<int32_t> each :
       {tokenizer.bos_token_id(), tokenizer.eos_token_id(), tokenizer.unk_token_id(), tokenizer.sep_token_id(),
        tokenizer.pad_token_id(), tokenizer.cls_token_id(), tokenizer.mask_token_id()}) {
    if (each == id) return true;
  }
  return false;
}

// What the call says to the model beyond settings.
struct Languages {
  std::string task = "translation", prefix;
  std::optional<int32_t> source, target;        // tokens
  std::optional<std::string> source_name = {};  // of `source`
};

Languages languages_of(const PipelineParts& parts, const std::optional<std::string>& source,
                       const std::optional<std::string>& target) {
  const auto& [model, tokenizer] = parts;
  Languages result;
  const std::vector<std::string> tasks = task_names(model.config());
  const auto is_pair = [](const std::string& task) { return task.starts_with("translation_"); };
  if (source && target) {
    const std::string pair = "translation_" + *source + "_to_" + *target;
    if (std::find(tasks.begin(), tasks.end(), pair) != tasks.end()) {
      result.task = pair;
      return result;
    }
  }
  if (std::any_of(tasks.begin(), tasks.end(), is_pair)) {
    std::string known;
    for (const std::string& task : tasks) {
      if (is_pair(task)) known += (known.empty() ? "" : ", ") + task.substr(12);
    }
    if (!source && !target) return result;  // the text may hold the prefix already
    throw Error("no translation from " + printable(source.value_or("?")) + " to " + printable(target.value_or("?")),
                model.config().where(), "the model knows " + known);
  }
  if (source) result.source = language_token(tokenizer, *source);
  if (result.source) result.source_name = source;
  if (!target) {
    if (source && !result.source) {
      throw Error("unknown language \"" + printable(*source) + "\"", "src_lang", "the tokenizer has no token for it");
    }
    return result;
  }
  result.target = language_token(tokenizer, *target);
  if (result.target) {
    if (source && !result.source) {
      throw Error("unknown language \"" + printable(*source) + "\"", "src_lang", "the tokenizer has no token for it");
    }
    return result;
  }
  const std::optional<std::string> mark = target_mark(tokenizer, *target);
  if (mark) {
    result.prefix = *mark + " ";
    return result;
  }
  throw Error("unknown language \"" + printable(*target) + "\"", "tgt_lang",
              "the tokenizer has no token for it; leave languages out for a model of one pair");
}

// The source's token takes the place of the language among the special tokens that the tokenizer adds.
void set_source(const Tokenizer& tokenizer, int32_t source, const BatchEncoding& encoding, Prompts* prompts) {
  for (size_t row = 0; row < prompts->size(); ++row) {
    const std::vector<int32_t> special = encoding.special_tokens_mask(row);
    bool found = false;
    for (size_t i = 0; i < special.size(); ++i) {
      const auto id = static_cast<int32_t>((*prompts)[row][i]);
      if (special[i] == 0 || is_common_token(tokenizer, id)) continue;
      (*prompts)[row][i] = source;
      found = true;
    }
    if (!found) {
      throw Error("the tokenizer adds no language's token to a text", "src_lang",
                  "leave src_lang out, or mend the post-processor of tokenizer.json");
    }
  }
}

// "translation_en_to_de" to "en", "de".
void split_task(std::string_view task, std::optional<std::string>* source, std::optional<std::string>* target) {
  if (task == "translation") return;
  constexpr std::string_view kBegin = "translation_", kMiddle = "_to_";
  const size_t middle = task.find(kMiddle, kBegin.size());
  if (!task.starts_with(kBegin) || middle == std::string_view::npos || middle == kBegin.size() ||
      middle + kMiddle.size() == task.size()) {
    throw Error("unknown task \"" + printable(task) + "\"", "pipeline", "use translation, or translation_A_to_B");
  }
  *source = task.substr(kBegin.size(), middle - kBegin.size());
  *target = task.substr(middle + kMiddle.size());
}

}  // namespace

TranslationPipeline::TranslationPipeline(const std::string& name_or_folder, const PipelineOptions& options,
                                         std::string_view task)
    : parts_(PipelineParts::open(name_or_folder, Task::seq2seq_lm, options)) {
  split_task(task, &src_lang_, &tgt_lang_);
}

TranslationPipeline::TranslationPipeline(Model model, Tokenizer tokenizer, std::string_view task)
    : parts_{std::move(model), std::move(tokenizer)} {
  split_task(task, &src_lang_, &tgt_lang_);
}

std::vector<std::vector<Translation>> TranslationPipeline::operator()(const std::vector<std::string>& texts,
                                                                      const TranslationOptions& options) const {
  const auto& [model, tokenizer] = parts_;
  Languages languages;
  if (options.src_lang || options.tgt_lang) {
    languages = languages_of(parts_, options.src_lang, options.tgt_lang);
  } else if (src_lang_) {
    // Named by the task alone: a model of one pair need not know the names.
    try {
      languages = languages_of(parts_, src_lang_, tgt_lang_);
    } catch (const Error&) {
      const std::vector<std::string> tasks = task_names(model.config());
      if (std::any_of(tasks.begin(), tasks.end(), [](const std::string& t) { return t.starts_with("translation"); })) {
        throw;
      }
    }
  }
  const TaskSettings settings = task_settings(parts_, languages.task);
  GenerationConfig config = settings.generation;
  if (languages.target) config.forced_bos_token_id = *languages.target;
  config = config.with(options.generation);

  std::vector<std::string> whole = texts;
  const std::string prefix = options.prefix.value_or(settings.prefix) + languages.prefix;
  for (std::string& text : whole) text.insert(0, prefix);
  const int64_t most = model.max_tokens();
  Tokenizer marking = tokenizer;
  const bool marks = languages.source_name && marking.marks_languages();
  if (marks) marking.set_src_lang(*languages.source_name);
  const BatchEncoding encoding =
      tokenize_rows(marking, views_of(whole), {}, most > 0 ? std::optional(most) : std::nullopt);
  Prompts prompts;
  for (const auto row : encoding.input_ids) prompts.emplace_back(row.begin(), row.end());
  if (languages.source && !marks) set_source(tokenizer, *languages.source, encoding, &prompts);

  std::vector<std::vector<Translation>> results(texts.size());
  const auto rows = generate_batches(parts_, prompts, config, options.extras, options.batch_size, options.progress);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const GeneratedIds& each : rows[i]) {
      results[i].push_back({tokenizer.decode(each.tokens, {.skip_special_tokens = true})});
    }
  }
  return results;
}

std::vector<Translation> TranslationPipeline::operator()(std::string_view text,
                                                         const TranslationOptions& options) const {
  return (*this)(std::vector<std::string>{std::string(text)}, options)[0];
}

std::string to_json(const std::vector<Translation>& texts) {
  JsonWriter json;
  json.begin_array();
  for (const Translation& each : texts) {
    json.begin_object().key("translation_text").value(each.translation_text).end_object();
  }
  return json.end_array().text();
}

}  // namespace mica
