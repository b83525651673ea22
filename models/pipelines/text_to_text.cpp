#include "mica/models/pipelines/text_to_text.h"

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/models/pipelines/json_writer.h"

namespace mica {
namespace {

// A summary that must be longer than it may be, or longer than what it sums up, is likely a mistake.
void check_lengths(const GenerationConfig& config, const Prompts& prompts) {
  const int64_t least = config.min_new_tokens.value_or(config.min_length.value_or(0));
  const std::optional<int64_t> most = config.max_new_tokens ? config.max_new_tokens : config.max_length;
  if (most && least > *most) {
    throw Error("at least " + std::to_string(least) + " tokens and at most " + std::to_string(*most), "summarization",
                "lower min_length or raise max_length");
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (static_cast<int64_t>(prompts[i].size()) >= least) continue;
    warn("text " + std::to_string(i) + " has " + std::to_string(prompts[i].size()) +
         " tokens, its summary shall have at least " + std::to_string(least) + ": lower min_length");
    return;
  }
}

}  // namespace

TextToText::TextToText(PipelineParts parts, std::string task) : parts_(std::move(parts)), task_(std::move(task)) {
  if (parts_.model.task() != Task::seq2seq_lm) {
    throw Error("a model for " + std::string(name(parts_.model.task())), task_, "open it for seq2seq_lm");
  }
}

std::vector<std::vector<std::string>> TextToText::run(const std::vector<std::string>& texts,
                                                      const TextToTextOptions& options) const {
  const TaskSettings settings = task_settings(parts_, task_);
  const GenerationConfig config = settings.generation.with(options.generation);
  std::vector<std::string> whole = texts;
  for (std::string& text : whole) text.insert(0, options.prefix.value_or(settings.prefix));
  const int64_t most = parts_.model.max_tokens();
  const BatchEncoding encoding =
      tokenize_rows(parts_.tokenizer, views_of(whole), {}, most > 0 ? std::optional(most) : std::nullopt);
  Prompts prompts;
  for (const auto row : encoding.input_ids) prompts.emplace_back(row.begin(), row.end());
  if (task_ == "summarization") check_lengths(config, prompts);
  std::vector<std::vector<std::string>> results(texts.size());
  const auto rows = generate_batches(parts_, prompts, config, options.extras, options.batch_size, options.progress);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const GeneratedIds& each : rows[i]) {
      results[i].push_back(parts_.tokenizer.decode(each.tokens, {.skip_special_tokens = true}));
    }
  }
  return results;
}

namespace {

template <typename Result>
std::vector<std::vector<Result>> typed(std::vector<std::vector<std::string>> texts) {
  std::vector<std::vector<Result>> results;
  for (std::vector<std::string>& row : texts) {
    std::vector<Result>& out = results.emplace_back();
    for (std::string& text : row) out.push_back({std::move(text)});
  }
  return results;
}

}  // namespace

Text2TextGenerationPipeline::Text2TextGenerationPipeline(const std::string& name_or_folder,
                                                         const PipelineOptions& options)
    : core_(PipelineParts::open(name_or_folder, Task::seq2seq_lm, options), "text2text-generation") {}
Text2TextGenerationPipeline::Text2TextGenerationPipeline(Model model, Tokenizer tokenizer)
    : core_({std::move(model), std::move(tokenizer)}, "text2text-generation") {}

std::vector<Text2Text> Text2TextGenerationPipeline::operator()(std::string_view text,
                                                               const TextToTextOptions& options) const {
  return (*this)(std::vector<std::string>{std::string(text)}, options)[0];
}
std::vector<std::vector<Text2Text>> Text2TextGenerationPipeline::operator()(const std::vector<std::string>& texts,
                                                                            const TextToTextOptions& options) const {
  return typed<Text2Text>(core_.run(texts, options));
}

SummarizationPipeline::SummarizationPipeline(const std::string& name_or_folder, const PipelineOptions& options)
    : core_(PipelineParts::open(name_or_folder, Task::seq2seq_lm, options), "summarization") {}
SummarizationPipeline::SummarizationPipeline(Model model, Tokenizer tokenizer)
    : core_({std::move(model), std::move(tokenizer)}, "summarization") {}

std::vector<Summary> SummarizationPipeline::operator()(std::string_view text, const TextToTextOptions& options) const {
  return (*this)(std::vector<std::string>{std::string(text)}, options)[0];
}
std::vector<std::vector<Summary>> SummarizationPipeline::operator()(const std::vector<std::string>& texts,
                                                                    const TextToTextOptions& options) const {
  return typed<Summary>(core_.run(texts, options));
}

std::string to_json(const std::vector<Text2Text>& texts) {
  JsonWriter json;
  json.begin_array();
  for (const Text2Text& each : texts) json.begin_object().key("generated_text").value(each.generated_text).end_object();
  return json.end_array().text();
}

std::string to_json(const std::vector<Summary>& texts) {
  JsonWriter json;
  json.begin_array();
  for (const Summary& each : texts) json.begin_object().key("summary_text").value(each.summary_text).end_object();
  return json.end_array().text();
}

}  // namespace mica
