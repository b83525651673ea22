#include "mica/training/training_arguments.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/json.h"

namespace mica {
namespace {

using Arguments = TrainingArguments;

[[noreturn]] void refuse(const std::string& name, std::string_view text, const std::string& takes) {
  throw Error("--" + name + " \"" + printable(text) + "\"", "training arguments", "it takes " + takes);
}

// ---- enumerations by name: the first name is the one that is written

template <typename E>
using Names = std::vector<std::pair<const char*, E>>;

const Names<IntervalStrategy>& names_of(IntervalStrategy) {
  static const Names<IntervalStrategy> names{
      {"no", IntervalStrategy::no}, {"steps", IntervalStrategy::steps}, {"epoch", IntervalStrategy::epoch}};
  return names;
}
const Names<SaveStrategy>& names_of(SaveStrategy) {
  static const Names<SaveStrategy> names{{"no", SaveStrategy::no},
                                         {"steps", SaveStrategy::steps},
                                         {"epoch", SaveStrategy::epoch},
                                         {"best", SaveStrategy::best}};
  return names;
}
const Names<SamplingStrategy>& names_of(SamplingStrategy) {
  static const Names<SamplingStrategy> names{{"random", SamplingStrategy::random},
                                             {"sequential", SamplingStrategy::sequential},
                                             {"group_by_length", SamplingStrategy::group_by_length}};
  return names;
}
const Names<OptimizerType>& names_of(OptimizerType) {
  static const Names<OptimizerType> names{
      {"adamw_torch", OptimizerType::adamw_torch}, {"adamw_torch_fused", OptimizerType::adamw_torch},
      {"adamw", OptimizerType::adamw_torch},       {"sgd", OptimizerType::sgd},
      {"adafactor", OptimizerType::adafactor},     {"lion", OptimizerType::lion},
      {"lion_32bit", OptimizerType::lion}};
  return names;
}

// ---- one value to text and back

std::string text_of(const std::string& value) {
  return value;
}
std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(int64_t value) {
  return std::to_string(value);
}
std::string text_of(double value) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}
std::string text_of(SchedulerType value) {
  return std::string(name(value));
}
std::string text_of(const std::vector<std::string>& value) {
  std::string text;
  for (const std::string& each : value) text += (text.empty() ? "" : ",") + each;
  return text;
}
template <typename E>
requires std::is_enum_v<E> std::string text_of(E value) {
  for (const auto& [known, each] : names_of(value)) {
    if (each == value) return known;
  }
  return "";
}
template <typename T>
std::string text_of(const std::optional<T>& value) {
  return value ? text_of(*value) : "";
}

void parse(const std::string&, std::string_view text, std::string& value) {
  value = text;
}
void parse(const std::string& name, std::string_view text, bool& value) {
  for (const char* yes : {"true", "True", "1", "yes"}) {
    if (text == yes) return void(value = true);
  }
  for (const char* no : {"false", "False", "0", "no"}) {
    if (text == no) return void(value = false);
  }
  refuse(name, text, "true or false");
}
template <typename T>
void parse_number(const std::string& name, std::string_view text, T& value, const char* takes) {
  T read{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  if (error != std::errc() || end != text.data() + text.size()) refuse(name, text, takes);
  value = read;
}
void parse(const std::string& name, std::string_view text, int64_t& value) {
  parse_number(name, text, value, "a whole number");
}
void parse(const std::string& name, std::string_view text, double& value) {
  double read = 0;
  parse_number(name, text, read, "a number");
  if (!std::isfinite(read)) refuse(name, text, "a finite number");
  value = read;
}
void parse(const std::string&, std::string_view text, SchedulerType& value) {
  value = scheduler_type(text);
}
void parse(const std::string&, std::string_view text, std::vector<std::string>& value) {
  value.clear();
  while (!text.empty()) {
    const size_t comma = text.find(',');
    if (comma != 0) value.emplace_back(text.substr(0, comma));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
}
template <typename E>
requires std::is_enum_v<E>
void parse(const std::string& name, std::string_view text, E& value) {
  std::string known;
  for (const auto& [each, meaning] : names_of(value)) {
    if (text == each) return void(value = meaning);
    known += (known.empty() ? "" : ", ") + std::string(each);
  }
  refuse(name, text, known);
}
template <typename T>
void parse(const std::string& name, std::string_view text, std::optional<T>& value) {
  if (text.empty() || text == "None" || text == "none") return value.reset();
  T read{};
  parse(name, text, read);
  value = read;
}

// ---- the table

template <auto member>
TrainingArgumentField field(const char* name, const char* help) {
  using T = std::remove_cvref_t<decltype(std::declval<Arguments>().*member)>;
  // The name has to reach a function without a closure: it is looked up by the member.
  static const std::string own_name = name;
  return {name, help, std::is_same_v<T, bool>, [](const Arguments& a) { return text_of(a.*member); },
          [](Arguments& a, std::string_view text) { parse(own_name, text, a.*member); }};
}

}  // namespace

const std::vector<TrainingArgumentField>& training_argument_fields() {
  using A = Arguments;
  static const std::vector<TrainingArgumentField> fields{
      field<&A::output_dir>("output_dir", "where the model, its checkpoints and the reports go"),
      field<&A::per_device_train_batch_size>("per_device_train_batch_size", "rows of a training batch"),
      field<&A::per_device_eval_batch_size>("per_device_eval_batch_size", "rows of an evaluation batch"),
      field<&A::num_train_epochs>("num_train_epochs", "how often the data is gone through"),
      field<&A::max_steps>("max_steps", "so many steps, whatever num_train_epochs says; -1: by epochs"),
      field<&A::gradient_accumulation_steps>("gradient_accumulation_steps", "batches whose gradients make one step"),
      field<&A::learning_rate>("learning_rate", "the highest learning rate"),
      field<&A::lr_scheduler_type>("lr_scheduler_type", "how the learning rate changes: linear, cosine, ..."),
      field<&A::lr_scheduler_kwargs>("lr_scheduler_kwargs", "settings of the schedule, as JSON: {\"num_cycles\": 2}"),
      field<&A::warmup_steps>("warmup_steps", "steps until the highest rate; below 1: a share of all steps"),
      field<&A::warmup_ratio>("warmup_ratio", "share of all steps until the highest rate"),
      field<&A::optim>("optim", "adamw_torch, sgd, adafactor or lion"),
      field<&A::optim_args>("optim_args", "settings of the optimizer: momentum=0.9,nesterov=true"),
      field<&A::weight_decay>("weight_decay", "of all parameters but biases and norms"),
      field<&A::adam_beta1>("adam_beta1", "decay of the gradient's mean"),
      field<&A::adam_beta2>("adam_beta2", "decay of the squared gradient's mean"),
      field<&A::adam_epsilon>("adam_epsilon", "added to the root of the latter"),
      field<&A::max_grad_norm>("max_grad_norm", "longer gradients are scaled down to it; 0: none are"),
      field<&A::label_smoothing_factor>("label_smoothing_factor", "share of a label spread over all classes"),
      field<&A::layerwise_lr_decay>("layerwise_lr_decay", "each layer's rate, as a share of that of the one above"),
      field<&A::freeze>("freeze", "parameters with one of these in their names stay as they are"),
      field<&A::bf16>("bf16", "matrix products in bfloat16"),
      field<&A::gradient_checkpointing>("gradient_checkpointing", "less memory: activations are computed twice"),
      field<&A::logging_strategy>("logging_strategy", "no, steps or epoch"),
      field<&A::logging_steps>("logging_steps", "steps between two logs; below 1: a share of all steps"),
      field<&A::logging_first_step>("logging_first_step", "log the first step too"),
      field<&A::include_num_input_tokens_seen>("include_num_input_tokens_seen", "count tokens in the log"),
      field<&A::disable_tqdm>("disable_tqdm", "no progress bar"),
      field<&A::report_to>("report_to", "tensorboard, json, html (all of them by default) or none"),
      field<&A::eval_strategy>("eval_strategy", "no, steps or epoch"),
      field<&A::eval_steps>("eval_steps", "steps between two evaluations (default: logging_steps)"),
      field<&A::eval_delay>("eval_delay", "epochs or steps before the first evaluation"),
      field<&A::eval_on_start>("eval_on_start", "evaluate before the first step"),
      field<&A::prediction_loss_only>("prediction_loss_only", "evaluation measures the loss alone"),
      field<&A::predict_with_generate>("predict_with_generate", "evaluation generates the texts it measures"),
      field<&A::generation_max_length>("generation_max_length", "longest text of such an evaluation, in tokens"),
      field<&A::generation_num_beams>("generation_num_beams", "beams of such an evaluation"),
      field<&A::save_strategy>("save_strategy", "no, steps, epoch or best"),
      field<&A::save_steps>("save_steps", "steps between two checkpoints; below 1: a share of all steps"),
      field<&A::save_total_limit>("save_total_limit", "so many checkpoints are kept"),
      field<&A::save_only_model>("save_only_model", "checkpoints without what resuming needs"),
      field<&A::load_best_model_at_end>("load_best_model_at_end", "end with the best checkpoint's weights"),
      field<&A::metric_for_best_model>("metric_for_best_model", "which metric says what is best (default: loss)"),
      field<&A::greater_is_better>("greater_is_better", "whether more of it is better"),
      field<&A::early_stopping_patience>("early_stopping_patience", "stop after so many evaluations no better"),
      field<&A::early_stopping_threshold>("early_stopping_threshold", "by how much better counts"),
      field<&A::seed>("seed", "of dropout, new parameters and the order of rows"),
      field<&A::data_seed>("data_seed", "of the order of rows"),
      field<&A::train_sampling_strategy>("train_sampling_strategy", "random, sequential or group_by_length"),
      field<&A::group_by_length>("group_by_length", "batches of rows of about one length"),
      field<&A::length_column_name>("length_column_name", "the column with the rows' lengths, if there is one"),
      field<&A::dataloader_drop_last>("dataloader_drop_last", "leave out an epoch's last, smaller batch"),
      field<&A::dataloader_num_workers>("dataloader_num_workers", "threads that prepare batches"),
      field<&A::dataloader_prefetch_factor>("dataloader_prefetch_factor", "batches each of them prepares ahead"),
      field<&A::resume_from_checkpoint>("resume_from_checkpoint", "a checkpoint's folder, or true: the last one"),
      field<&A::ignore_data_skip>("ignore_data_skip", "a resumed run starts its epoch from the first row"),
  };
  return fields;
}

void check(const TrainingArguments& a) {
  const auto in_range = [](const char* name, double value, double low, double high) {
    if (!(value >= low && value <= high))
      refuse(name, text_of(value), "a number from " + text_of(low) + " to " + text_of(high));
  };
  const auto contradiction = [](const std::string& what, const std::string& mend) {
    throw Error(what, "training arguments", mend);
  };
  constexpr double kMost = 1e15;
  if (a.output_dir.empty()) contradiction("no output_dir", "name a folder");
  in_range("per_device_train_batch_size", static_cast<double>(a.per_device_train_batch_size), 1, 1e9);
  in_range("per_device_eval_batch_size", static_cast<double>(a.per_device_eval_batch_size), 1, 1e9);
  in_range("gradient_accumulation_steps", static_cast<double>(a.gradient_accumulation_steps), 1, 1e9);
  in_range("num_train_epochs", a.num_train_epochs, 0, 1e9);
  in_range("learning_rate", a.learning_rate, 0, 1e6);
  in_range("warmup_steps", a.warmup_steps, 0, kMost);
  in_range("warmup_ratio", a.warmup_ratio, 0, 1);
  in_range("weight_decay", a.weight_decay, 0, 1e6);
  in_range("adam_beta1", a.adam_beta1, 0, 1 - 1e-12);
  in_range("adam_beta2", a.adam_beta2, 0, 1 - 1e-12);
  in_range("adam_epsilon", a.adam_epsilon, 0, 1);
  in_range("max_grad_norm", a.max_grad_norm, 0, kMost);
  in_range("label_smoothing_factor", a.label_smoothing_factor, 0, 1);
  in_range("layerwise_lr_decay", a.layerwise_lr_decay, 1e-6, 1);
  in_range("early_stopping_threshold", a.early_stopping_threshold, 0, kMost);
  in_range("dataloader_num_workers", static_cast<double>(a.dataloader_num_workers), 0, 256);
  if (a.dataloader_prefetch_factor) {
    in_range("dataloader_prefetch_factor", static_cast<double>(*a.dataloader_prefetch_factor), 1, 1e6);
  }
  if (a.save_total_limit) in_range("save_total_limit", static_cast<double>(*a.save_total_limit), 1, 1e9);
  if (a.early_stopping_patience) {
    in_range("early_stopping_patience", static_cast<double>(*a.early_stopping_patience), 1, 1e9);
  }
  if (a.logging_strategy == IntervalStrategy::steps) in_range("logging_steps", a.logging_steps, 1e-9, kMost);
  if (a.save_strategy == SaveStrategy::steps) in_range("save_steps", a.save_steps, 1e-9, kMost);
  if (a.eval_strategy == IntervalStrategy::steps && a.eval_steps) in_range("eval_steps", *a.eval_steps, 1e-9, kMost);
  for (const std::string& each : a.report_to) {
    if (each != "tensorboard" && each != "json" && each != "html" && each != "all" && each != "none") {
      refuse("report_to", each, "tensorboard, json, html, all or none");
    }
  }
  const bool needs_evaluation =
      a.load_best_model_at_end || a.save_strategy == SaveStrategy::best || a.early_stopping_patience.has_value();
  if (needs_evaluation && a.eval_strategy == IntervalStrategy::no) {
    contradiction("load_best_model_at_end, save_strategy best and early stopping need evaluations",
                  "set eval_strategy to steps or epoch");
  }
  if (a.load_best_model_at_end && a.save_strategy != SaveStrategy::best) {
    if (a.save_strategy == SaveStrategy::no) {
      contradiction("load_best_model_at_end with save_strategy no", "set save_strategy");
    }
    const bool by_steps = a.save_strategy == SaveStrategy::steps;
    if (by_steps != (a.eval_strategy == IntervalStrategy::steps)) {
      contradiction("load_best_model_at_end with checkpoints and evaluations at different times",
                    "set save_strategy and eval_strategy alike");
    }
    const double eval_steps = a.eval_steps.value_or(a.logging_steps);
    if (by_steps && std::fmod(a.save_steps, eval_steps) > 1e-9 * eval_steps) {
      contradiction(
          "load_best_model_at_end with save_steps " + text_of(a.save_steps) + " and eval_steps " + text_of(eval_steps),
          "make save_steps a multiple of eval_steps, so that what is saved was measured");
    }
  }
}

std::string to_json(const TrainingArguments& arguments) {
  Json all = Json::object();
  for (const TrainingArgumentField& each : training_argument_fields()) {
    const std::string text = each.text(arguments);
    if (each.is_flag) {
      all[each.name] = text == "true";
    } else {
      // Numbers stay numbers; lists and names are texts.
      int64_t whole = 0;
      double number = 0;
      const char* end = text.data() + text.size();
      if (text.empty()) {
        all[each.name] = nullptr;
      } else if (std::from_chars(text.data(), end, whole).ptr == end) {
        all[each.name] = whole;
      } else if (std::from_chars(text.data(), end, number).ptr == end) {
        all[each.name] = number;
      } else {
        all[each.name] = text;
      }
    }
  }
  return dump_json(all);
}

}  // namespace mica
