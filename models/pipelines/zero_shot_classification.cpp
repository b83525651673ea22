#include "mica/models/pipelines/zero_shot_classification.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/models/pipelines/json_writer.h"

namespace mica {
namespace {

[[noreturn]] void refuse_template(const std::string& pattern) {
  throw Error("hypothesis_template \"" + printable(pattern) + "\"", "zero-shot classification",
              "write {} where the label goes, once, and {{ or }} for a brace");
}

std::string hypothesis(const std::string& pattern, const std::string& label) {
  std::string text;
  int unnumbered = 0;
  bool placed = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const std::string_view rest = std::string_view(pattern).substr(i);
    if (rest.starts_with("{{") || rest.starts_with("}}")) {
      text += rest[0];
      ++i;
    } else if (rest.starts_with("{}") || rest.starts_with("{0}")) {
      unnumbered += rest[1] == '}' ? 1 : 0;
      placed = true;
      text += label;
      i += rest[1] == '}' ? 1 : 2;
    } else if (rest[0] == '{' || rest[0] == '}') {
      refuse_template(pattern);
    } else {
      text += rest[0];
    }
  }
  if (!placed || unnumbered > 1) refuse_template(pattern);
  return text;
}

// Of the classes of a model of inference: the one whose label begins with "entail", else the last.
size_t entailment_of(const Config& config) {
  const std::vector<std::string> labels = config.labels();
  for (size_t i = 0; i < labels.size(); ++i) {
    std::string label = labels[i].substr(0, 6);
    for (char& c : label) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (label == "entail") return i;
  }
  warn("zero-shot classification: no label of the model begins with \"entail\"; its last one is taken for that");
  return labels.empty() ? 0 : labels.size() - 1;
}

// logits: [labels, classes].
ZeroShotResult ranked(std::string_view text, const std::vector<std::string>& labels, std::span<const float> logits,
                      size_t entailment, bool multi_label) {
  const size_t classes = logits.size() / labels.size();
  std::vector<float> scores;
  for (size_t i = 0; i < labels.size(); ++i) scores.push_back(logits[i * classes + entailment]);
  if (multi_label || labels.size() == 1) {
    const size_t contradiction = entailment == 0 ? classes - 1 : 0;
    for (size_t i = 0; i < labels.size(); ++i) {
      float both[2] = {logits[i * classes + contradiction], scores[i]};
      softmax_in_place(both);
      scores[i] = both[1];
    }
  } else {
    softmax_in_place(scores);
  }
  std::vector<size_t> order(labels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  std::ranges::reverse(order);  // of equal scores the later label first, as the reference has it
  ZeroShotResult result{std::string(text), {}, {}};
  for (const size_t i : order) {
    result.labels.push_back(labels[i]);
    result.scores.push_back(scores[i]);
  }
  return result;
}

}  // namespace

std::vector<std::string> split_labels(std::string_view labels) {
  std::vector<std::string> result;
  while (!labels.empty()) {
    const size_t comma = std::min(labels.find(','), labels.size());
    std::string_view label = labels.substr(0, comma);
    const auto space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    while (!label.empty() && space(label.front())) label.remove_prefix(1);
    while (!label.empty() && space(label.back())) label.remove_suffix(1);
    if (!label.empty()) result.emplace_back(label);
    labels.remove_prefix(std::min(comma + 1, labels.size()));
  }
  return result;
}

ZeroShotClassificationPipeline::ZeroShotClassificationPipeline(const std::string& name_or_folder,
                                                               const PipelineOptions& options)
    : parts_(PipelineParts::open(name_or_folder, Task::sequence_classification, options)) {}

ZeroShotClassificationPipeline::ZeroShotClassificationPipeline(Model model, Tokenizer tokenizer)
    : parts_{std::move(model), std::move(tokenizer)} {}

std::vector<ZeroShotResult> ZeroShotClassificationPipeline::operator()(const std::vector<std::string>& texts,
                                                                       const std::vector<std::string>& candidate_labels,
                                                                       const ZeroShotOptions& options) const {
  if (candidate_labels.empty()) {
    throw Error("no candidate labels", "zero-shot classification", "give one or more");
  }
  std::vector<std::string> hypotheses;
  for (const std::string& label : candidate_labels)
    hypotheses.push_back(hypothesis(options.hypothesis_template, label));
  std::vector<std::string_view> first, second;
  for (const std::string& text : texts) {
    for (const std::string& each : hypotheses) {
      first.emplace_back(text);
      second.emplace_back(each);
    }
  }
  const auto& [model, tokenizer] = parts_;
  const BatchEncoding encoding =
      tokenize_rows(tokenizer, first, second, token_limit(model, tokenizer), Truncation::only_first);
  std::vector<float> logits;
  size_t classes = 0;
  run_batches(model, encoding, options.batch_size, options.progress,
              [&](std::span<const size_t> rows, const ModelOutput& output) {
                const std::vector<float> some = output.logits.to_vector<float>();
                classes = static_cast<size_t>(output.logits.size(1));
                logits.resize(first.size() * classes);
                for (size_t i = 0; i < rows.size(); ++i) {
                  std::copy_n(some.data() + i * classes, classes, logits.data() + rows[i] * classes);
                }
              });
  std::vector<ZeroShotResult> results;
  const size_t entailment = entailment_of(model.config()), of_text = candidate_labels.size() * classes;
  for (size_t i = 0; i < texts.size(); ++i) {
    results.push_back(ranked(texts[i], candidate_labels, std::span(logits).subspan(i * of_text, of_text), entailment,
                             options.multi_label));
  }
  return results;
}

ZeroShotResult ZeroShotClassificationPipeline::operator()(std::string_view text,
                                                          const std::vector<std::string>& candidate_labels,
                                                          const ZeroShotOptions& options) const {
  return (*this)(std::vector<std::string>{std::string(text)}, candidate_labels, options)[0];
}

std::string to_json(const ZeroShotResult& result) {
  JsonWriter json;
  json.begin_object().key("sequence").value(result.sequence).key("labels").begin_array();
  for (const std::string& label : result.labels) json.value(label);
  json.end_array().key("scores").value(std::span<const float>(result.scores));
  return json.end_object().text();
}

}  // namespace mica
