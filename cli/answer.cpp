// mica answer: the span of a context that answers a question.

#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/base/error.h"
#include "mica/models/pipelines/question_answering.h"
#include "mica/tokenizers/utf8.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  std::optional<std::string> question, context;
  QuestionAnsweringOptions answering;
  bool no_word_alignment = false;
};

std::vector<QuestionContext> inputs_of(const Options& options) {
  std::vector<QuestionContext> inputs;
  if (options.jsonl) {
    if (options.question || options.context) {
      throw UsageError{"--question or --context together with --jsonl", "arguments", "leave one of them out"};
    }
    for (TextInput& each : read_inputs({}, true, {"question", "context"})) {
      inputs.push_back({std::move(*each.question), std::move(*each.context)});
    }
    return inputs;
  }
  if (!options.question || !options.context) {
    throw UsageError{"no question or no context", "arguments", "give --question and --context, or --jsonl"};
  }
  for (const auto& [text, name] : {std::pair(*options.question, "--question"), {*options.context, "--context"}}) {
    if (!utf8::is_valid(text)) {
      throw Error("not valid UTF-8: \"" + printable(text, 60) + "\"", name, "convert the text to UTF-8");
    }
  }
  if (*options.context != "-") return {{*options.question, *options.context}};
  // A context from standard input is one text, lines and all.
  std::string context;
  for (const TextInput& line : read_inputs({"-"}, false, {"text"})) {
    context += (context.empty() ? "" : "\n") + line.text;
  }
  return {{*options.question, context}};
}

void print(const QuestionContext& input, const std::vector<Answer>& answers) {
  write_line(input.question);
  if (answers.empty()) write_line("  (no answer)");
  for (const Answer& each : answers) {
    write_line("  " + fixed(each.score, 4) + "  " +
               fit(std::to_string(each.start) + "-" + std::to_string(each.end), 10) + " " +
               (each.answer.empty() ? "(no answer)" : each.answer));
  }
}

void execute(const Options& options) {
  const LoadOptions load = options.load_options();
  const std::vector<QuestionContext> inputs = inputs_of(options);
  const QuestionAnsweringPipeline pipeline(options.model, {.dtype = load.dtype, .device = load.device});
  QuestionAnsweringOptions answering = options.answering;
  answering.align_to_words = !options.no_word_alignment;
  answering.batch_size = options.batch_size;
  answering.progress = progress_bar("answering");
  const auto results = pipeline(inputs, answering);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!options.json) {
      print(inputs[i], results[i]);
    } else {
      write_line(results[i].size() == 1 ? to_json(results[i][0]) : to_json(results[i]));
    }
  }
}

}  // namespace

Action answer(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.text("--question", options->question, "the question");
  arguments.text("--context", options->context, "the text that holds the answer, or - for standard input");
  arguments.flag("--jsonl", options->jsonl, "standard input holds {\"question\", \"context\"} a line");
  arguments.integer("--top-k", options->answering.top_k, 1, 1'000'000, "answers to show, best first (default: 1)");
  arguments.integer("--max-answer-len", options->answering.max_answer_len, 1, 1 << 20,
                    "longest answer in tokens (default: 15)");
  arguments.integer("--max-seq-len", options->answering.max_seq_len, 1, 1 << 20,
                    "tokens of a window, question included (default: at most 384)");
  arguments.integer("--doc-stride", options->answering.doc_stride, 0, 1 << 20,
                    "tokens that windows share (default: half a window, at most 128)");
  arguments.flag("--impossible", options->answering.handle_impossible_answer, "allow \"no answer\"");
  arguments.flag("--no-word-alignment", options->no_word_alignment, "answers may begin and end inside words");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
