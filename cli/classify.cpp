// mica classify: labels for texts.

#include <algorithm>
#include <memory>
#include <utility>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/models/pipelines/text_classification.h"
#include "mica/models/pipelines/zero_shot_classification.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  std::vector<std::string> texts;
  std::optional<std::string> pair;
  std::optional<int64_t> top_k;
  std::string function, candidate_labels, hypothesis_template;
  bool multi_label = false;
};

using Results = std::vector<std::vector<LabelScore>>;

Results run_pipeline(const TextClassificationPipeline& pipeline, const std::vector<TextInput>& inputs,
                     const TextClassificationOptions& options) {
  const bool paired = inputs[0].pair.has_value();
  std::vector<std::string> texts;
  std::vector<TextPair> pairs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].pair.has_value() != paired) {
      throw UsageError{"some inputs have a pair and some have none", "input " + std::to_string(i + 1),
                       "give all of them one, or none"};
    }
    if (paired) {
      pairs.push_back({inputs[i].text, *inputs[i].pair});
    } else {
      texts.push_back(inputs[i].text);
    }
  }
  return paired ? pipeline(pairs, options) : pipeline(texts, options);
}

void print(const TextInput& input, const std::vector<LabelScore>& labels) {
  write_line(input.pair ? input.text + " | " + *input.pair : input.text);
  for (const LabelScore& each : labels) {
    write_line("  " + fixed(static_cast<double>(each.score), 4) + "  " + each.label);
  }
}

// Labels that the model never saw: --candidate-labels.
void choose(const Options& options) {
  for (const auto& [flag, given] :
       {std::pair("--pair", options.pair.has_value()), {"--function", !options.function.empty()}}) {
    if (given) throw UsageError{std::string(flag) + " with --candidate-labels", "classify", "leave one of them out"};
  }
  const std::vector<std::string> labels = split_labels(options.candidate_labels);
  if (labels.empty()) throw UsageError{"no labels", "--candidate-labels", "separate them by commas"};
  const LoadOptions load = options.load_options();
  std::vector<std::string> texts;
  for (const TextInput& input : read_inputs(options.texts, options.jsonl, {"text"})) texts.push_back(input.text);
  const ZeroShotClassificationPipeline pipeline(options.model, {.dtype = load.dtype, .device = load.device});
  ZeroShotOptions call{
      .multi_label = options.multi_label, .batch_size = options.batch_size, .progress = progress_bar("classifying")};
  if (!options.hypothesis_template.empty()) call.hypothesis_template = options.hypothesis_template;
  for (ZeroShotResult& result : pipeline(texts, labels, call)) {
    const size_t shown = std::min(result.labels.size(), static_cast<size_t>(options.top_k.value_or(INT64_MAX)));
    result.labels.resize(shown);
    result.scores.resize(shown);
    if (options.json) {
      write_line(to_json(result));
      continue;
    }
    write_line(result.sequence);
    for (size_t i = 0; i < shown; ++i) {
      write_line("  " + fixed(static_cast<double>(result.scores[i]), 4) + "  " + result.labels[i]);
    }
  }
}

void execute(const Options& options) {
  if (!options.candidate_labels.empty()) return choose(options);
  if (options.multi_label || !options.hypothesis_template.empty()) {
    throw UsageError{options.multi_label ? "--multi-label" : "--hypothesis-template", "classify",
                     "it belongs to --candidate-labels"};
  }
  const LoadOptions load = options.load_options();
  std::vector<TextInput> inputs = read_inputs(options.texts, options.jsonl, {"text", "pair"});
  if (options.pair) {
    for (TextInput& input : inputs) input.pair = options.pair;
  }
  const TextClassificationPipeline pipeline(options.model, {.dtype = load.dtype, .device = load.device});
  const Results results =
      run_pipeline(pipeline, inputs,
                   {.top_k = options.top_k.value_or(1),
                    .function_to_apply = options.function.empty() ? ScoreFunction::automatic
                                                                  : score_function_from_name(options.function),
                    .batch_size = options.batch_size,
                    .progress = progress_bar("classifying")});
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!options.json) {
      print(inputs[i], results[i]);
    } else {
      write_line(options.top_k ? to_json(results[i]) : to_json(results[i].at(0)));
    }
  }
}

}  // namespace

Action classify(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.texts("text", options->texts, "texts, or - for one a line from standard input");
  arguments.flag("--jsonl", options->jsonl,
                 "standard input holds a JSON value a line: a string or {\"text\", \"pair\"}");
  arguments.text("--pair", options->pair, "a second text that goes with each text");
  arguments.integer("--top-k", options->top_k, 1, 1 << 30,
                    "labels to show, best first (default: the best one; with --candidate-labels all)");
  arguments.choice("--function", options->function, {"softmax", "sigmoid", "none"},
                   "what makes scores of logits (default: as the model's problem type says)");
  arguments.text("--candidate-labels", options->candidate_labels,
                 "labels, separated by commas, that a model of natural language inference chooses from");
  arguments.text("--hypothesis-template", options->hypothesis_template,
                 "with --candidate-labels: what is said of a text, {} being the label (\"This example is {}.\")");
  arguments.flag("--multi-label", options->multi_label,
                 "with --candidate-labels: labels don't exclude each other; each score stands alone");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
