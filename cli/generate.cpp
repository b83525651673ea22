// mica generate: texts that go on from prompts; of an encoder-decoder, texts for texts.

#include <memory>

#include "cli/common.h"
#include "cli/constraint_flags.h"
#include "cli/generation_flags.h"
#include "cli/subcommands.h"
#include <unistd.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/table.h"
#include "mica/models/pipelines/pipeline.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  std::vector<std::string> texts;
  GenerationFlags flags;
  ConstraintFlags rules;
  std::string task;
  std::optional<std::string> src_lang, tgt_lang, prefix, assistant, system;
  bool new_only = false, stream = false, chat = false;
};

// By what the folder was made for: its class, or else whether it has an encoder.
std::string task_of(const std::string& folder) {
  const Config config = AutoConfig::from_pretrained(folder);
  for (const std::string& each : config.texts("architectures")) {
    if (each.ends_with("ForCausalLM")) return "text-generation";
  }
  const Family& family = family_of(config.model_type.value());
  const bool writes = config.flag("is_encoder_decoder") || !family.has(Task::causal_lm);
  return writes && family.has(Task::seq2seq_lm) ? "text2text-generation" : "text-generation";
}

// What all tasks have in common: what the options of their calls are filled with, and how results are written.
class Run {
 public:
  explicit Run(const Options& options) : options_(options), load_(options.load_options()) {
    for (TextInput& each : read_inputs(options.texts, options.jsonl, {"text"})) texts_.push_back(std::move(each.text));
    config_ = options.flags.config();
    const bool single = config_.num_return_sequences.value_or(1) == 1 && config_.num_beams.value_or(1) == 1;
    streams_ = single && !options.json && (options.stream || isatty(STDOUT_FILENO) != 0);
    if (options.stream && !streams_) {
      throw UsageError{"--stream with beams, several texts a prompt or --json", "mica generate", "leave one out"};
    }
  }

  const std::vector<std::string>& texts() const { return texts_; }
  PipelineOptions pipeline() const { return {.dtype = load_.dtype, .device = load_.device}; }

  // The options of a call; `shown` is what goes before a text that is streamed.
  template <typename CallOptions>
  CallOptions call(Task task) {
    CallOptions call;
    call.generation = config_;
    call.batch_size = streams_ ? 1 : options_.batch_size;
    if (!streams_) call.progress = progress_bar("generating");
    call.extras.interrupt = &Interrupt::flag();
    if (options_.assistant) call.extras.assistant = Model::from_pretrained(*options_.assistant, task, load_);
    return call;
  }

  template <typename Pipeline, typename CallOptions, typename Inputs, typename Text>
  void run(const Pipeline& pipeline, CallOptions call, const Inputs& inputs, bool shows_prompt, Text text_of) {
    // Beams may be the model's own setting.
    const GenerationConfig settings = pipeline.model().generation_config().with(call.generation);
    if (settings.num_beams.value_or(1) > 1 && streams_) {
      streams_ = false;
      call.batch_size = options_.batch_size;
    }
    const std::unique_ptr<TokenConstraint> constraint = options_.rules.constraint(pipeline.tokenizer(), settings);
    call.extras.constraint = constraint.get();
    const Interrupt interrupt;
    if (streams_) {
      call.extras.on_text = [&](size_t input, std::string_view text) {
        begin(input, shows_prompt);
        write_now(text);
      };
    }
    const auto results = pipeline(inputs, call);
    for (size_t i = 0; i < results.size(); ++i) {
      if (results[i].empty()) continue;  // interrupted before it began
      if (streams_) {
        begin(i, shows_prompt);
      } else if (options_.json) {
        write_line(to_json(results[i]));
      } else {
        for (const auto& each : results[i]) write_line(text_of(each));
      }
    }
    if (begun_ > 0) write_now("\n");
    if (Interrupt::flag()) throw Error("interrupted", "mica generate", "what was written so far is all there is");
  }

 private:
  // Once for each input, before its first text: ends the text before, shows the prompt.
  void begin(size_t input, bool shows_prompt) {
    while (begun_ <= input) {
      if (begun_ > 0) write_now("\n");
      if (shows_prompt) write_now(texts_[begun_]);
      ++begun_;
    }
  }

  const Options& options_;
  LoadOptions load_;
  std::vector<std::string> texts_;
  GenerationConfig config_;
  bool streams_ = false;
  size_t begun_ = 0;
};

void go_on(Run& run, const Options& options) {
  const TextGenerationPipeline pipeline(options.model, run.pipeline());
  auto call = run.call<TextGenerationOptions>(Task::causal_lm);
  call.return_full_text = !options.new_only && (!options.chat || options.json);
  const auto text = [](const GeneratedText& each) { return each.generated_text; };
  if (!options.chat) return run.run(pipeline, call, run.texts(), call.return_full_text, text);
  std::vector<Conversation> chats;
  for (const std::string& each : run.texts()) {
    std::vector<ChatMessage> messages;
    if (options.system) messages.push_back({"system", *options.system});
    messages.push_back({"user", each});
    chats.emplace_back(std::move(messages));
  }
  run.run(pipeline, call, chats, false, text);
}

void execute(const Options& options) {
  Run run(options);
  const std::string folder = resolve_model_folder(options.model);
  const std::string task = options.task.empty() ? task_of(folder) : options.task;
  const bool translates = task == "translation";
  if (!translates && (options.src_lang || options.tgt_lang)) {
    throw UsageError{"languages for " + task, "mica generate", "use --task translation with --src-lang and --tgt-lang"};
  }
  if (options.system && !options.chat) {
    throw UsageError{"--system without --chat", "mica generate", "a prompt alone has no system message"};
  }
  if (task == "text-generation") {
    if (options.prefix) throw UsageError{"--prefix for " + task, "mica generate", "put it into the prompt"};
    return go_on(run, options);
  }
  if (options.chat || options.new_only) {
    throw UsageError{"--chat or --new-only for " + task, "mica generate", "they belong to text-generation"};
  }
  if (translates) {
    auto call = run.call<TranslationOptions>(Task::seq2seq_lm);
    call.src_lang = options.src_lang;
    call.tgt_lang = options.tgt_lang;
    call.prefix = options.prefix;
    return run.run(TranslationPipeline(folder, run.pipeline()), call, run.texts(), false,
                   [](const Translation& each) { return each.translation_text; });
  }
  auto call = run.call<TextToTextOptions>(Task::seq2seq_lm);
  call.prefix = options.prefix;
  if (task == "summarization") {
    return run.run(SummarizationPipeline(folder, run.pipeline()), call, run.texts(), false,
                   [](const Summary& each) { return each.summary_text; });
  }
  run.run(Text2TextGenerationPipeline(folder, run.pipeline()), call, run.texts(), false,
          [](const Text2Text& each) { return each.generated_text; });
}

}  // namespace

Action generate(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.texts("prompt", options->texts, "prompts, or - for one a line from standard input");
  arguments.flag("--jsonl", options->jsonl, "standard input holds a JSON value a line: a string or {\"text\"}");
  arguments.choice("--task", options->task, {"text-generation", "text2text-generation", "summarization", "translation"},
                   "what to do (default: go on, or text2text-generation for an encoder-decoder)");
  options->flags.declare(arguments);
  options->rules.declare(arguments);
  arguments.flag("--stream", options->stream, "write texts as they come (default on a terminal)");
  arguments.flag("--new-only", options->new_only, "leave the prompt out of what is written");
  arguments.flag("--chat", options->chat, "prompts are a user's messages, put into the model's chat template");
  arguments.text("--system", options->system, "with --chat: the system message");
  arguments.text("--assistant", options->assistant, "a smaller model with the same vocabulary, which drafts", "MODEL");
  arguments.text("--prefix", options->prefix, "before each text (default: the task's in config.json)");
  arguments.text("--src-lang", options->src_lang,
                 "language of the texts, as the model spells it (en_XX, eng_Latn, en)");
  arguments.text("--tgt-lang", options->tgt_lang, "language of the translations");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
