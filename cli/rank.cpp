// mica rank: documents by how well they answer a query, read beside it by a cross encoder.

#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/models/pipelines/cross_encoder.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  std::vector<std::string> documents;
  std::string query, function;
  std::optional<int64_t> top_k, max_length;
};

void execute(const Options& options) {
  if (options.query.empty()) throw UsageError{"no query", "rank", "give one: --query \"...\""};
  const LoadOptions load = options.load_options();
  std::vector<std::string> documents;
  for (const TextInput& input : read_inputs(options.documents, options.jsonl, {"text"}))
    documents.push_back(input.text);
  const CrossEncoder encoder(options.model,
                             {.dtype = load.dtype, .device = load.device, .max_length = options.max_length});
  const std::vector<RankedDocument> ranked =
      encoder.rank(options.query, documents,
                   {.top_k = options.top_k,
                    .activation_fn = options.function.empty() ? ScoreFunction::automatic
                                                              : score_function_from_name(options.function),
                    .batch_size = options.batch_size,
                    .progress = progress_bar("ranking")});
  for (const RankedDocument& each : ranked) {
    write_line(options.json ? to_json(each) : fixed(static_cast<double>(each.score), 4) + "  " + each.text);
  }
}

}  // namespace

Action rank(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.texts("document", options->documents, "documents, or - for one a line from standard input");
  arguments.flag("--jsonl", options->jsonl, "standard input holds a JSON value a line: a string or {\"text\"}");
  arguments.text("--query", options->query, "what the documents are read beside");
  arguments.integer("--top-k", options->top_k, 1, 1 << 30, "documents to show, best first (default: all)");
  arguments.integer("--max-length", options->max_length, 1, 1 << 30, "tokens of query and document that are read");
  arguments.choice("--function", options->function, {"sigmoid", "none"},
                   "what makes scores of logits (default: as the model's folder says)");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
