// mica tag: labelled spans of texts.

#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/models/pipelines/token_classification.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  std::vector<std::string> texts, ignored = {"O"};
  std::string aggregation = "none";
  std::optional<int64_t> stride;
};

void print(const std::string& text, const std::vector<Entity>& entities) {
  write_line(text);
  if (entities.empty()) write_line("  (nothing)");
  for (const Entity& each : entities) {
    write_line("  " + fixed(static_cast<double>(each.score), 4) + "  " + fit(each.label, 12) + " " +
               fit(std::to_string(each.start) + "-" + std::to_string(each.end), 10) + " " + each.word);
  }
}

void execute(const Options& options) {
  const LoadOptions load = options.load_options();
  const std::vector<TextInput> inputs = read_inputs(options.texts, options.jsonl, {"text"});
  std::vector<std::string> texts;
  for (const TextInput& input : inputs) texts.push_back(input.text);
  const TokenClassificationPipeline pipeline(options.model, {.dtype = load.dtype, .device = load.device});
  const auto results = pipeline(texts, {.aggregation_strategy = aggregation_from_name(options.aggregation),
                                        .ignore_labels = options.ignored,
                                        .stride = options.stride,
                                        .batch_size = options.batch_size,
                                        .progress = progress_bar("tagging")});
  for (size_t i = 0; i < texts.size(); ++i) {
    options.json ? write_line(to_json(results[i])) : print(texts[i], results[i]);
  }
}

}  // namespace

Action tag(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.texts("text", options->texts, "texts, or - for one a line from standard input");
  arguments.flag("--jsonl", options->jsonl, "standard input holds a JSON value a line: a string or {\"text\"}");
  arguments.choice("--aggregation", options->aggregation, {"none", "simple", "first", "average", "max"},
                   "how tokens become spans (default: none, one a token)");
  arguments.list("--ignore", options->ignored, "labels to leave out (default: O)");
  arguments.integer("--stride", options->stride, 0, 1 << 30,
                    "read long texts in windows that share this many tokens, instead of cutting them");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
