#include "mica/models/pipelines/text_classification.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/models/pipelines/json_writer.h"

namespace mica {
namespace {

ScoreFunction resolve(ScoreFunction wanted, const Config& config) {
  if (wanted != ScoreFunction::automatic) return wanted;
  const std::string problem = config.problem_type;
  if (problem == "regression") return ScoreFunction::none;
  if (problem == "multi_label_classification" || config.num_labels == 1) return ScoreFunction::sigmoid;
  return ScoreFunction::softmax;
}

std::vector<LabelScore> ranked(std::span<float> scores, ScoreFunction function, const std::vector<std::string>& labels,
                               std::optional<int64_t> top_k) {
  if (function == ScoreFunction::softmax) softmax_in_place(scores);
  if (function == ScoreFunction::sigmoid) sigmoid_in_place(scores);
  std::vector<LabelScore> result;
  for (size_t i = 0; i < scores.size(); ++i) result.push_back({labels.at(i), scores[i]});
  std::stable_sort(result.begin(), result.end(),
                   [](const LabelScore& a, const LabelScore& b) { return a.score > b.score; });
  if (top_k && static_cast<size_t>(*top_k) < result.size()) result.resize(static_cast<size_t>(*top_k));
  return result;
}

void write(JsonWriter& json, const LabelScore& result) {
  json.begin_object().key("label").value(result.label).key("score").value(result.score).end_object();
}

}  // namespace

ScoreFunction score_function_from_name(std::string_view name) {
  if (name == "softmax") return ScoreFunction::softmax;
  if (name == "sigmoid") return ScoreFunction::sigmoid;
  if (name == "none") return ScoreFunction::none;
  throw Error("unknown function \"" + printable(name) + "\"", "text classification", "use softmax, sigmoid or none");
}

TextClassificationPipeline::TextClassificationPipeline(const std::string& name_or_folder,
                                                       const PipelineOptions& options)
    : parts_(PipelineParts::open(name_or_folder, Task::sequence_classification, options)) {}

TextClassificationPipeline::TextClassificationPipeline(Model model, Tokenizer tokenizer)
    : parts_{std::move(model), std::move(tokenizer)} {}

std::vector<std::vector<LabelScore>> TextClassificationPipeline::run(std::span<const std::string_view> texts,
                                                                     std::span<const std::string_view> pairs,
                                                                     const TextClassificationOptions& options) const {
  if (options.top_k && *options.top_k < 1) {
    throw Error("top_k is " + std::to_string(*options.top_k), "text classification", "use 1 or more");
  }
  const auto& [model, tokenizer] = parts_;
  const BatchEncoding encoding = tokenize_rows(tokenizer, texts, pairs, token_limit(model, tokenizer));
  const ScoreFunction function = resolve(options.function_to_apply, model.config());
  const std::vector<std::string> labels = model.config().labels();
  std::vector<std::vector<LabelScore>> results(texts.size());
  run_batches(model, encoding, options.batch_size, options.progress,
              [&](std::span<const size_t> rows, const ModelOutput& output) {
                std::vector<float> logits = output.logits.to_vector<float>();
                const auto classes = static_cast<size_t>(output.logits.size(1));
                for (size_t i = 0; i < rows.size(); ++i) {
                  results[rows[i]] =
                      ranked(std::span(logits).subspan(i * classes, classes), function, labels, options.top_k);
                }
              });
  return results;
}

std::vector<std::vector<LabelScore>> TextClassificationPipeline::operator()(
    const std::vector<std::string>& texts, const TextClassificationOptions& options) const {
  return run(views_of(texts), {}, options);
}

std::vector<std::vector<LabelScore>> TextClassificationPipeline::operator()(
    const std::vector<TextPair>& pairs, const TextClassificationOptions& options) const {
  std::vector<std::string_view> first;
  std::vector<std::string_view> second;
  for (const TextPair& each : pairs) {
    first.push_back(each.text);
    second.push_back(each.pair);
  }
  return run(first, second, options);
}

std::vector<LabelScore> TextClassificationPipeline::operator()(std::string_view text,
                                                               const TextClassificationOptions& options) const {
  return run(std::span(&text, 1), {}, options)[0];
}

std::vector<LabelScore> TextClassificationPipeline::operator()(const TextPair& pair,
                                                               const TextClassificationOptions& options) const {
  return (*this)(std::vector<TextPair>{pair}, options)[0];
}

std::string to_json(const LabelScore& result) {
  JsonWriter json;
  write(json, result);
  return json.text();
}

std::string to_json(const std::vector<LabelScore>& results) {
  JsonWriter json;
  json.begin_array();
  for (const LabelScore& each : results) write(json, each);
  return json.end_array().text();
}

}  // namespace mica
