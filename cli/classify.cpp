// mica classify: labels for texts.

#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/models/pipelines/text_classification.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  std::vector<std::string> texts;
  std::optional<std::string> pair;
  std::optional<int64_t> top_k;
  std::string function;
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

void execute(const Options& options) {
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
  arguments.integer("--top-k", options->top_k, 1, 1 << 30, "labels to show, best first (default: the best one)");
  arguments.choice("--function", options->function, {"softmax", "sigmoid", "none"},
                   "what makes scores of logits (default: as the model's problem type says)");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
