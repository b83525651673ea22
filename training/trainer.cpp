#include "mica/training/trainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mica/autograd/autocast.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/models/auto/lora.h"
#include "mica/training/collators/padding.h"
#include "mica/training/distributed/device_group.h"
#include "mica/training/reports/reports.h"
#include "mica/training/trainer_impl.h"

namespace mica {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Steps, or a share of all steps where the number is below 1.
int64_t steps_of(double number, int64_t max_steps) {
  return static_cast<int64_t>(std::ceil(number < 1 ? number * static_cast<double>(max_steps) : number));
}

bool wanted(const TrainingArguments& arguments, const char* report) {
  const auto& names = arguments.report_to;
  const auto has = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  return has(report) || has("all");
}

}  // namespace

// ---- construction

Trainer::Impl::Impl(Model m, TrainingArguments a, TrainerParts o)
    : model(std::move(m)), arguments(std::move(a)), options(std::move(o)), collator(options.data_collator) {
  check(arguments);
  if (size_of(options.communicator) > 1) group = options.communicator;
  if (arguments.gradient_checkpointing) model.gradient_checkpointing_enable();
  if (static_cast<bool>(options.save) != static_cast<bool>(options.load)) {
    throw Error("only one of save and load", "trainer parts", "a run that is to be resumed needs both");
  }
  if (collator == nullptr && options.processing_class) {
    collator = std::make_shared<DataCollatorWithPadding>(*options.processing_class, PaddingOptions{.ragged = true});
  }
  if (collator == nullptr) collator = std::make_shared<DefaultDataCollator>();
  callbacks.push_back(std::make_shared<StrategyCallback>());
  if (arguments.early_stopping_patience) {
    callbacks.push_back(std::make_shared<EarlyStoppingCallback>(*arguments.early_stopping_patience,
                                                                arguments.early_stopping_threshold));
  }
  const std::string& folder = arguments.output_dir;
  const auto reports = [&](const char* name) { return is_first() && wanted(arguments, name); };
  if (reports("json")) callbacks.push_back(json_log(join_path(folder, "log.jsonl")));
  if (reports("tensorboard")) callbacks.push_back(tensorboard_log(join_path(folder, "runs")));
  if (reports("html")) callbacks.push_back(html_report(join_path(folder, "report.html")));
  callbacks.insert(callbacks.end(), options.callbacks.begin(), options.callbacks.end());
}

Trainer::Trainer(Model model, TrainingArguments arguments, Dataset train_dataset, TrainerParts options)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(arguments), std::move(options))) {
  impl_->train_dataset = std::move(train_dataset);
}

Trainer::Trainer(Model model, TrainingArguments arguments, TrainerParts options)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(arguments), std::move(options))) {}

Trainer::~Trainer() = default;

TrainOutput Trainer::train() {
  return impl_->train_in_group();
}
LogEntry Trainer::evaluate() {
  if (!impl_->options.eval_dataset) {
    throw Error("no data to evaluate on", "trainer", "set TrainerParts::eval_dataset, or call evaluate(dataset)");
  }
  return impl_->evaluate(*impl_->options.eval_dataset, "eval");
}
LogEntry Trainer::evaluate(const Dataset& dataset, const std::string& metric_key_prefix) {
  return impl_->evaluate(dataset, metric_key_prefix);
}
PredictionOutput Trainer::predict(const Dataset& dataset, const std::string& metric_key_prefix) {
  return impl_->predict(dataset, metric_key_prefix, false);
}
void Trainer::save_model(const std::string& folder) const {
  together(impl_->group, [&] {
    if (impl_->is_first()) impl_->save_model(folder.empty() ? impl_->arguments.output_dir : folder);
  });
}
void Trainer::save_state() const {
  together(impl_->group, [&] {
    if (!impl_->is_first()) return;
    make_directories(impl_->arguments.output_dir);
    write_file_atomically(join_path(impl_->arguments.output_dir, "trainer_state.json"), impl_->state.to_json());
  });
}
void Trainer::add_callback(std::shared_ptr<TrainerCallback> callback) {
  impl_->callbacks.push_back(std::move(callback));
}
const TrainingArguments& Trainer::arguments() const {
  return impl_->arguments;
}
const TrainerState& Trainer::state() const {
  return impl_->state;
}
const Model& Trainer::model() const {
  return impl_->model;
}

// ---- the run

RunPlan Trainer::Impl::plan() const {
  if (!train_dataset || train_dataset->empty()) {
    throw Error("no rows to train on", "trainer", "give a data set with at least one row");
  }
  const TrainingArguments& a = arguments;
  RunPlan plan;
  plan.rows = train_dataset->size();
  const int64_t processes = size_of(group);
  const int64_t batch = a.per_device_train_batch_size * processes;
  if (plan.rows <= batch - a.per_device_train_batch_size) {
    throw Error(std::to_string(plan.rows) + " rows for " + std::to_string(processes) + " processes of " +
                    std::to_string(a.per_device_train_batch_size) + " a batch",
                "trainer", "start fewer processes, or make batches smaller");
  }
  plan.batches_per_epoch = a.dataloader_drop_last ? plan.rows / batch : (plan.rows + batch - 1) / batch;
  if (plan.batches_per_epoch == 0) {
    throw Error("dataloader_drop_last leaves no batch: " + std::to_string(plan.rows) + " rows, batches of " +
                    std::to_string(batch),
                "trainer", "make batches smaller, or keep the last one");
  }
  plan.steps_per_epoch = (plan.batches_per_epoch + a.gradient_accumulation_steps - 1) / a.gradient_accumulation_steps;
  if (a.max_steps > 0) {
    plan.max_steps = a.max_steps;
    plan.epochs = (a.max_steps + plan.steps_per_epoch - 1) / plan.steps_per_epoch;
  } else {
    plan.max_steps = static_cast<int64_t>(std::ceil(a.num_train_epochs * static_cast<double>(plan.steps_per_epoch)));
    plan.epochs = static_cast<int64_t>(std::ceil(a.num_train_epochs));
  }
  return plan;
}

// What training needs beside model and data.
void Trainer::Impl::prepare(const RunPlan& run) {
  const TrainingArguments& a = arguments;
  if (a.eval_strategy != IntervalStrategy::no && !options.eval_dataset) {
    throw Error("eval_strategy without data to evaluate on", "training arguments", "set TrainerParts::eval_dataset");
  }
  if (is_first()) make_directories(a.output_dir);
  model.train();  // before the optimizer sees the parameters: those of 16 bits become float32
  optimizer = make_optimizer(a, parameter_groups(trained_parameters(), a));
  const int64_t warmup = a.warmup_steps > 0
                             ? steps_of(a.warmup_steps, run.max_steps)
                             : static_cast<int64_t>(std::ceil(a.warmup_ratio * static_cast<double>(run.max_steps)));
  schedule = make_schedule(a.lr_scheduler_type, warmup, run.max_steps, a.learning_rate, a.lr_scheduler_kwargs);
}

TrainOutput Trainer::Impl::train() {
  const Autocast products(arguments.bf16 ? std::optional(DType::bfloat16) : std::nullopt);
  const TrainingArguments& a = arguments;
  RunPlan run;
  std::optional<DataLoader> loader;
  group = with_device(group, model.device());
  together(group, [&] {
    run = plan();
    prepare(run);
    loader = training_loader();
  });
  join(run);

  state = {};
  unread_loss = {};
  control = {};
  resume(run);
  share_values();
  state.max_steps = run.max_steps;
  state.num_train_epochs = static_cast<double>(run.epochs);
  state.train_batch_size = a.per_device_train_batch_size;
  state.logging_steps = steps_of(a.logging_steps, run.max_steps);
  state.eval_steps = steps_of(a.eval_steps.value_or(a.logging_steps), run.max_steps);
  state.save_steps = steps_of(a.save_steps, run.max_steps);
  const int64_t first_step = state.global_step;
  recorded = recorded_training();

  start = Clock::now();
  in_training = true;
  model.train();
  zero_grad();
  announce(&TrainerCallback::on_train_begin);
  if (a.eval_on_start && first_step == 0 && options.eval_dataset) evaluate(*options.eval_dataset, "eval");
  bool interrupted = false;
  for (int64_t epoch = first_step / run.steps_per_epoch; epoch < run.epochs && state.global_step < run.max_steps;
       ++epoch) {
    interrupted = run_epoch(run, *loader, epoch, state.global_step % run.steps_per_epoch);
    if (interrupted || control.should_training_stop) break;
  }
  in_training = false;
  model.eval();
  read_loss(state.global_step);
  if (interrupted) {
    save_checkpoint();
  } else if (a.load_best_model_at_end) {
    load_best();
  }

  TrainOutput output;
  output.global_step = state.global_step;
  output.interrupted = interrupted;
  const int64_t steps = state.global_step - first_step;
  read_loss(state.global_step);
  state.total_loss += state.loss_since_log;
  state.loss_since_log = 0;
  output.training_loss = state.global_step > 0 ? state.total_loss / static_cast<double>(state.global_step) : 0;
  const double runtime = seconds_since(start);
  const double samples =
      static_cast<double>(steps * a.per_device_train_batch_size * a.gradient_accumulation_steps * size_of(group));
  output.metrics = {{"train_runtime", runtime},
                    {"train_samples_per_second", samples / std::max(runtime, 1e-9)},
                    {"train_steps_per_second", static_cast<double>(steps) / std::max(runtime, 1e-9)},
                    {"train_loss", output.training_loss}};
  log(output.metrics);
  output.metrics.emplace_back("epoch", state.epoch);
  announce(&TrainerCallback::on_train_end);
  return output;
}

// True: interrupted.
bool Trainer::Impl::run_epoch(const RunPlan& run, const DataLoader& loader, int64_t epoch, int64_t first_step) {
  const TrainingArguments& a = arguments;
  const int64_t accumulate = a.gradient_accumulation_steps;
  BatchStream stream = loader.epoch(static_cast<uint64_t>(epoch), a.ignore_data_skip ? 0 : first_step * accumulate);
  announce(&TrainerCallback::on_epoch_begin);
  double gradient_norm = 0, learning_rate = 0;
  for (int64_t in_epoch = first_step; in_epoch < run.steps_per_epoch; ++in_epoch) {
    StepBatches taken = take_batches(&stream, std::min(accumulate, run.batches_per_epoch - in_epoch * accumulate));
    if (taken.all_batches == 0) break;
    learning_rate = a.learning_rate * (*schedule)(state.global_step);
    optimizer->set_learning_rate(learning_rate);
    gradient_norm = step(std::move(taken));
    ++state.global_step;
    const int64_t done = std::min((in_epoch + 1) * accumulate, run.batches_per_epoch);
    state.epoch = static_cast<double>(epoch) + static_cast<double>(done) / static_cast<double>(run.batches_per_epoch);
    announce(&TrainerCallback::on_step_end);
    share_control();
    log_save_evaluate(gradient_norm, learning_rate);
    if (share_control(options.interrupted && options.interrupted())) return true;
    if (control.should_epoch_stop || control.should_training_stop) break;
  }
  control.should_epoch_stop = false;
  announce(&TrainerCallback::on_epoch_end);
  share_control();
  log_save_evaluate(gradient_norm, learning_rate);
  return false;
}

NamedTensors Trainer::Impl::trained_parameters() const {
  NamedTensors all = model.parameters();
  for (auto& adapter : adapter_parameters(model)) all.push_back(std::move(adapter));
  all.insert(all.end(), options.more_parameters.begin(), options.more_parameters.end());
  return all;
}

void Trainer::Impl::zero_grad() const {
  model.zero_grad();
  for (const auto& [name, parameter] : options.more_parameters) parameter.set_grad({});
}

void Trainer::Impl::log_save_evaluate(double gradient_norm, double learning_rate) {
  const bool due = control.should_log && state.global_step > state.last_logged_step;
  control.should_log = false;
  if (due || control.should_save || control.should_evaluate) read_loss(state.global_step);
  if (due) {
    const auto steps = static_cast<double>(state.global_step - state.last_logged_step);
    const LogEntry entry{
        {"loss", state.loss_since_log / steps}, {"grad_norm", gradient_norm}, {"learning_rate", learning_rate}};
    state.total_loss += state.loss_since_log;
    state.loss_since_log = 0;
    state.last_logged_step = state.global_step;
    log(entry);
  }
  if (std::exchange(control.should_evaluate, false) && options.eval_dataset) {
    const LogEntry metrics = evaluate(*options.eval_dataset, "eval");
    const std::string name = best_metric_name(arguments);
    const std::optional<double> value = find(metrics, name);
    if (value) schedule->observe(*value);
    together(group, [&] {
      if (!value && (!arguments.metric_for_best_model.empty() || arguments.load_best_model_at_end)) {
        std::string known;
        for (const auto& [each, number] : metrics) known += (known.empty() ? "" : ", ") + each;
        throw Error("no metric " + name, "training arguments, metric_for_best_model", "there are " + known);
      }
    });
    const bool better = value && (!state.best_metric || (greater_is_better(arguments) ? *value > *state.best_metric
                                                                                      : *value < *state.best_metric));
    if (better) {
      state.best_metric = value;
      state.best_global_step = state.global_step;
    }
    if (arguments.save_strategy == SaveStrategy::best) control.should_save = better;
  }
  if (std::exchange(control.should_save, false)) save_checkpoint();
}

void Trainer::Impl::log(LogEntry entry) {
  entry.emplace_back("epoch", state.epoch);
  if (arguments.include_num_input_tokens_seen) {
    entry.emplace_back("num_input_tokens_seen", static_cast<double>(state.num_input_tokens_seen));
  }
  entry.emplace_back("step", static_cast<double>(state.global_step));
  state.log_history.push_back(entry);
  announce(&TrainerCallback::on_log, entry);
}

}  // namespace mica
