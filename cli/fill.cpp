// mica fill: words for the masks in texts.

#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/models/pipelines/fill_mask.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  std::vector<std::string> texts, targets;
  int64_t top_k = 5;
};

void print(const std::string& text, const std::vector<std::vector<Fill>>& masks) {
  write_line(text);
  for (size_t i = 0; i < masks.size(); ++i) {
    if (masks.size() > 1) write_line("  mask " + std::to_string(i + 1));
    for (const Fill& each : masks[i]) {
      write_line("  " + fixed(static_cast<double>(each.score), 4) + "  " + fit(each.token_str, 16) + " " +
                 each.sequence);
    }
  }
}

void execute(const Options& options) {
  const LoadOptions load = options.load_options();
  const std::vector<TextInput> inputs = read_inputs(options.texts, options.jsonl, {"text"});
  std::vector<std::string> texts;
  for (const TextInput& input : inputs) texts.push_back(input.text);
  const FillMaskPipeline pipeline(options.model, {.dtype = load.dtype, .device = load.device});
  const auto results = pipeline(texts, {.top_k = options.top_k,
                                        .targets = options.targets,
                                        .batch_size = options.batch_size,
                                        .progress = progress_bar("filling")});
  for (size_t i = 0; i < texts.size(); ++i) {
    options.json ? write_line(to_json(results[i])) : print(texts[i], results[i]);
  }
}

}  // namespace

Action fill(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.texts("text", options->texts, "texts with mask tokens, or - for one a line from standard input");
  arguments.flag("--jsonl", options->jsonl, "standard input holds a JSON value a line: a string or {\"text\"}");
  arguments.integer("--top-k", options->top_k, 1, 1 << 30, "words for each mask, best first (default: 5)");
  arguments.list("--targets", options->targets, "only these words compete");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
