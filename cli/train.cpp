// mica train: a model, a task and a file of data to a trained model with its checkpoints, log and report.

#include <charconv>
#include <memory>
#include <string>
#include <utility>

#include "cli/adapter_flags.h"
#include "cli/common.h"
#include "cli/generation_flags.h"
#include "cli/subcommands.h"
#include "cli/training_progress.h"

#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/base/parallel.h"
#include "mica/base/warnings.h"
#include "mica/kernels/backend.h"
#include "mica/models/auto/auto_config.h"
#include "mica/training/distributed/launched_group.h"
#include "mica/training/pretraining.h"
#include "mica/training/tasks/recipe.h"
#include "mica/training/trainer.h"

namespace mica::cli {
namespace {

struct TrainFlags {
  std::string task, model, train, eval, test, output, tokenizer, objective, dtype = "float32", device = "cpu";
  std::vector<std::string> config, matryoshka_dims;
  AdapterFlags adapter;
  int64_t threads = 0;
  std::optional<int64_t> vocab_size;
  bool json = false, from_scratch = false;
  RecipeOptions recipe;
  std::optional<std::string> mlm_probability, scale, margin;
  std::vector<std::optional<std::string>> arguments;  // as training_argument_fields()
};

[[noreturn]] void misuse(const std::string& problem, const std::string& mend) {
  throw UsageError{problem, "mica train", mend};
}

double number_of(const char* flag, const std::string& text) {
  size_t end = 0;
  try {
    const double value = std::stod(text, &end);
    if (end == text.size()) return value;
  } catch (const std::exception&) {
    end = 0;
  }
  misuse(std::string(flag) + " \"" + printable(text) + "\"", "give a number");
}

std::vector<int64_t> sizes_of(const char* flag, const std::vector<std::string>& words) {
  std::vector<int64_t> sizes;
  for (const std::string& word : words) {
    int64_t size = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
    if (error != std::errc() || end != word.data() + word.size() || size < 1) {
      misuse(std::string(flag) + " \"" + printable(word) + "\"", "give sizes with commas between");
    }
    sizes.push_back(size);
  }
  return sizes;
}

// "a=1, b=2" and "a=1" "b=2": pairs of a field and its value.
std::vector<std::pair<std::string, std::string>> fields_of(const char* flag, const std::vector<std::string>& words) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const std::string& word : words) {
    // Commas inside brackets and quotes belong to a value.
    int depth = 0;
    bool quoted = false;
    std::string part;
    const auto finish = [&] {
      const size_t begin = part.find_first_not_of(" \t");
      if (begin != std::string::npos) {
        part = part.substr(begin, part.find_last_not_of(" \t") + 1 - begin);
        const size_t equals = part.find('=');
        if (equals == 0 || equals == std::string::npos) {
          misuse(std::string(flag) + " \"" + printable(part) + "\"", "write FIELD=VALUE");
        }
        fields.emplace_back(part.substr(0, equals), part.substr(equals + 1));
      }
      part.clear();
    };
    for (const char c : word) {
      quoted ^= c == '"';
      if (!quoted) depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
      if (c == ',' && depth == 0 && !quoted) {
        finish();
      } else {
        part += c;
      }
    }
    finish();
  }
  return fields;
}

TrainingArguments arguments_of(const TrainFlags& flags) {
  TrainingArguments arguments;
  const auto& fields = training_argument_fields();
  bool reports = false;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!flags.arguments[i]) continue;
    fields[i].set(arguments, *flags.arguments[i]);
    reports = reports || std::string_view(fields[i].name) == "report_to";
  }
  if (!flags.output.empty()) arguments.output_dir = flags.output;
  if (!reports) arguments.report_to = {"all"};
  if (flags.dtype == "bfloat16") arguments.bf16 = true;
  return arguments;
}

struct Run {
  Model model;
  Tokenizer tokenizer;
  std::unique_ptr<Recipe> recipe;
};

Run from_folder(const TrainFlags& flags, const Dataset& train, DType dtype, Device device) {
  auto recipe = make_recipe(flags.task, flags.recipe);
  const RecipeModel which{.folder = flags.model,
                          .tokenizer = flags.tokenizer,
                          .from_scratch = flags.from_scratch,
                          .load = {.dtype = dtype, .device = device, .config = fields_of("--config", flags.config)}};
  if (auto opened = recipe->open(which)) {
    return {std::move(opened->model), std::move(opened->tokenizer), std::move(recipe)};
  }
  const Config config = AutoConfig::from_pretrained(flags.model);
  const std::vector<std::string> labels = recipe->labels(train, config);
  LoadOptions load{.labels = labels, .problem_type = recipe->problem_type(), .dtype = dtype, .device = device};
  // A classifier of other labels gets a head of its own.
  load.ignore_mismatched_sizes = !labels.empty() && labels.size() != config.labels().size();
  load.config = fields_of("--config", flags.config);
  Model model = flags.from_scratch ? Model::from_config(config, recipe->model_task(), load)
                                   : Model::from_pretrained(flags.model, recipe->model_task(), load);
  Tokenizer tokenizer = Tokenizer::from_pretrained(flags.tokenizer.empty() ? flags.model : flags.tokenizer);
  return {std::move(model), std::move(tokenizer), std::move(recipe)};
}

Run from_nothing(const TrainFlags& flags, DType dtype, Device device) {
  FromScratchOptions options;
  if (!flags.objective.empty()) options.task = task_from_name(flags.objective);
  options.config = fields_of("--config", flags.config);
  options.tokenizer = flags.tokenizer;
  options.vocab_size = flags.vocab_size.value_or(0);
  options.dtype = dtype;
  auto [model, tokenizer] = from_scratch(flags.model, {flags.train}, options);
  model.to(device);
  auto recipe = make_recipe(name(model.task()), flags.recipe);
  return {std::move(model), std::move(tokenizer), std::move(recipe)};
}

void show(const LogEntry& metrics, bool json) {
  if (json) {
    Json line = Json::object();
    for (const auto& [name, value] : metrics) line[name] = value;
    write_line(line.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  for (const auto& [name, value] : metrics) {
    write_line("  " + fit(name, 32) + " " + fixed(value, std::abs(value) < 0.01 && value != 0 ? 8 : 4));
  }
}

// All that comes before the training. What the processes of a group do is the same, so each does it for itself.
struct Job {
  TrainingArguments arguments;
  std::optional<Run> run;
  std::optional<PreparedData> training;
  TrainerParts parts;
  std::optional<UsageError> misuse;
};

Job job_of(TrainFlags flags) {
  if (flags.task.empty()) misuse("no --task", "name one of them");
  if (flags.train.empty()) misuse("no --train", "name a file of training data");
  if (flags.threads > 0) set_num_threads(static_cast<int>(flags.threads));
  if (flags.mlm_probability) flags.recipe.mlm_probability = number_of("--mlm_probability", *flags.mlm_probability);
  if (flags.scale) flags.recipe.scale = number_of("--scale", *flags.scale);
  if (flags.margin) flags.recipe.margin = number_of("--margin", *flags.margin);
  flags.recipe.matryoshka_dims = sizes_of("--matryoshka_dims", flags.matryoshka_dims);
  Job job;
  job.arguments = arguments_of(flags);
  check(job.arguments);  // before anything is read
  const DType dtype = job.arguments.bf16 ? DType::bfloat16 : DType::float32;
  // Processes of one machine take its GPUs one by one, unless they are told which.
  const Device device =
      device_from_string(flags.device == "cuda" ? "cuda:" + std::to_string(local_rank()) : flags.device);
  backend(device);
  const Dataset train = Dataset::from_file(flags.train);
  if (train.empty()) throw Error("no rows", flags.train, "give a file with at least one row");
  manual_seed(static_cast<uint64_t>(job.arguments.seed));
  job.run = flags.task == "pretraining" ? from_nothing(flags, dtype, device) : from_folder(flags, train, dtype, device);
  Run& run = *job.run;
  run.recipe->adjust(&job.arguments);
  add_adapter_of(run.model, flags.adapter, flags.tokenizer.empty() ? flags.model : flags.tokenizer, fields_of);

  job.training = run.recipe->prepare(train, run.model, run.tokenizer);
  TrainerParts& parts = job.parts;
  if (!flags.eval.empty()) {
    const PreparedData evaluation = run.recipe->prepare(Dataset::from_file(flags.eval), run.model, run.tokenizer);
    parts.eval_dataset = evaluation.rows;
    parts.compute_metrics = evaluation.metrics;
    parts.predict = evaluation.predict;
  } else if (job.arguments.eval_strategy != IntervalStrategy::no) {
    misuse("--eval_strategy without --eval", "name a file to evaluate on");
  }
  parts.processing_class = run.tokenizer;
  parts.adapter_base_model = flags.model;
  parts.data_collator = run.recipe->collator(run.model, run.tokenizer);
  parts.compute_loss = job.training->loss;
  parts.preprocess_logits_for_metrics = run.recipe->preprocess_logits();
  run.recipe->complete(&parts);
  parts.interrupted = [] { return Interrupt::flag().load(); };
  return job;
}

void train_with(const TrainFlags& flags, const std::shared_ptr<Communicator>& group) {
  const bool first = rank_of(group) == 0;
  Job job;
  together(group, [&] {
    try {
      job = job_of(flags);
    } catch (const UsageError& error) {  // the same one everywhere
      job.misuse = error;
    }
  });
  if (job.misuse) throw *job.misuse;
  TrainerParts& parts = job.parts;
  parts.communicator = group;
  if (first && !job.arguments.disable_tqdm) parts.callbacks.push_back(training_progress());

  const Interrupt interrupt(Interrupt::also_terminate);
  Trainer trainer(job.run->model, job.arguments, job.training->rows, parts);
  const TrainOutput output = trainer.train();
  if (output.interrupted) {
    throw GroupError(Error("interrupted at step " + std::to_string(output.global_step), job.arguments.output_dir,
                           "go on with --resume_from_checkpoint true"),
                     0);
  }
  trainer.save_model();
  trainer.save_state();
  LogEntry metrics = output.metrics;
  if (parts.eval_dataset) {
    for (const auto& [name, value] : trainer.evaluate()) {
      if (name != "epoch") metrics.emplace_back(name, value);
    }
    trainer.save_state();
  }
  together(group, [&] {
    if (!first) return;
    if (!flags.test.empty()) {
      const PreparedData test =
          job.run->recipe->prepare(Dataset::from_file(flags.test), job.run->model, job.run->tokenizer);
      parts.compute_metrics = test.metrics;
      parts.predict = test.predict;
      parts.callbacks.clear();
      parts.communicator.reset();
      Trainer tester(job.run->model, job.arguments, parts);
      for (const auto& [name, value] : tester.predict(test.rows).metrics) metrics.emplace_back(name, value);
    }
    show(metrics, flags.json);
  });
}

void execute(const TrainFlags& flags) {
  const std::shared_ptr<Communicator> group = launched_group();
  const bool first = rank_of(group) == 0;
  if (!first) set_warning_handler({});  // all would warn of the same
  try {
    train_with(flags, group);
  } catch (const GroupError&) {
    if (!first) throw QuietExit{1};  // the first says it
    throw;
  } catch (const UsageError&) {
    if (!first) throw QuietExit{2};
    throw;
  } catch (const std::exception& error) {
    if (group != nullptr) group->fail(error.what());
    throw;
  }
}

}  // namespace

Action train(Arguments& arguments) {
  auto flags = std::make_shared<TrainFlags>();
  std::vector<std::string> tasks = recipe_names();
  tasks.emplace_back("pretraining");
  arguments.choice("--task", flags->task, tasks, "what the model learns");
  arguments.required_text("--model", flags->model, "model folder or hub id; of pretraining also a model type");
  arguments.text("--train", flags->train, "training data: JSONL, CSV, TSV, text, CoNLL or SQuAD JSON, also gzipped");
  arguments.text("--eval", flags->eval, "data to evaluate on, during training and at its end");
  arguments.text("--test", flags->test, "data to evaluate on at the end alone");
  arguments.text("--output", flags->output, "the folder for the model, as --output_dir");
  arguments.text("--tokenizer", flags->tokenizer, "folder or hub id of another tokenizer");
  arguments.texts("--config", flags->config, "fields of the config: hidden_dropout_prob=0,...");
  arguments.texts("--lora", flags->adapter.lora,
                  "train a low-rank adapter: r=8,alpha=16,dropout=0.1,target_modules=query|value");
  arguments.texts("--prompt_tuning", flags->adapter.prompt_tuning,
                  "train virtual tokens before the text: num_virtual_tokens=20,prompt_tuning_init=TEXT,...");
  arguments.texts("--prefix_tuning", flags->adapter.prefix_tuning,
                  "train virtual keys and values in every layer: num_virtual_tokens=20,prefix_projection=true");
  arguments.flag("--from_scratch", flags->from_scratch, "the model's config with new weights");
  arguments.choice("--objective", flags->objective, {"masked_lm", "causal_lm"}, "of pretraining");
  arguments.integer("--vocab_size", flags->vocab_size, 16, 100'000'000, "of the tokenizer that pretraining trains");
  RecipeOptions& recipe = flags->recipe;
  arguments.integer("--max_length", recipe.max_length, 1, 1 << 24, "tokens of a row; longer ones are cut");
  arguments.integer("--max_target_length", recipe.max_target_length, 1, 1 << 24, "tokens of a target text");
  arguments.integer("--doc_stride", recipe.doc_stride, 0, 1 << 24, "tokens that windows of a context share");
  arguments.integer("--block_size", recipe.block_size, 1, 1 << 24, "tokens of a block of language modelling");
  arguments.flag("--line_by_line", recipe.line_by_line, "of language modelling: each text is a row");
  arguments.text("--mlm_probability", flags->mlm_probability, "share of tokens that are masked (0.15)", "NUMBER");
  arguments.flag("--whole_word_mask", recipe.whole_word_mask, "mask whole words");
  arguments.text("--source_prefix", recipe.source_prefix, "text before each source text");
  arguments.text("--loss", recipe.loss, "of sentence_similarity: multiple_negatives_ranking, cosine_similarity, ...");
  arguments.text("--scale", flags->scale, "of similarities in a loss that has one (20)", "NUMBER");
  arguments.text("--margin", flags->margin, "of a loss that has one", "NUMBER");
  arguments.list("--matryoshka_dims", flags->matryoshka_dims, "sizes that embeddings may be cut to: 256,128");
  arguments.text("--label_scheme", recipe.label_scheme, "IOB1, IOB2, IOE1, IOE2, IOBES, BILOU or none");
  arguments.text("--text_column", recipe.text_column, "column of the text, the words or the source");
  arguments.text("--text_pair_column", recipe.text_pair_column, "column of the second text or the target");
  arguments.text("--label_column", recipe.label_column, "column of the label or labels");
  arguments.text("--question_column", recipe.question_column, "column of the question");
  arguments.text("--context_column", recipe.context_column, "column of the context");
  arguments.text("--answers_column", recipe.answers_column, "column of the answers");
  arguments.text("--choices_column", recipe.choices_column, "column of the list of choices");
  arguments.choice("--dtype", flags->dtype, {"float32", "bfloat16"}, "of matrix products; bfloat16 is --bf16");
  arguments.text("--device", flags->device, "cpu, cuda (of several processes each the next GPU) or cuda:N");
  arguments.integer("--threads", flags->threads, 1, 1024, "threads to use (default: as many as the machine has)");
  arguments.flag("--json", flags->json, "the final figures as one line of JSON");
  const auto& fields = training_argument_fields();
  flags->arguments.resize(fields.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::string option = std::string("--") + fields[i].name;
    if (fields[i].is_flag) {
      arguments.optional_value(option.c_str(), flags->arguments[i], fields[i].help);
    } else {
      arguments.text(option.c_str(), flags->arguments[i], fields[i].help, "VALUE");
    }
  }
  return [flags] { execute(*flags); };
}

}  // namespace mica::cli
