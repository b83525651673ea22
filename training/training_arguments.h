#pragma once
// TrainingArguments: how a Trainer trains, with the names and defaults that users of transformers know.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/training/schedule.h"

namespace mica {

/// When something happens: never, every so many steps, or at the end of each epoch.
enum class IntervalStrategy : uint8_t { no, steps, epoch };
/// Likewise; best: after each evaluation that is better than all before it.
enum class SaveStrategy : uint8_t { no, steps, epoch, best };
/// The order of the rows: shuffled anew each epoch, the file's own, or shuffled so that a batch's rows are about
/// equally long.
enum class SamplingStrategy : uint8_t { random, sequential, group_by_length };

/// The optimizers by the names that arguments give them.
enum class OptimizerType : uint8_t { adamw_torch, sgd, adafactor, lion };

/// A step is one update of the parameters, of per_device_train_batch_size x gradient_accumulation_steps rows. Numbers
/// of steps below 1 are shares of all steps.
struct TrainingArguments {
  std::string output_dir = "trainer_output";

  int64_t per_device_train_batch_size = 8;
  int64_t per_device_eval_batch_size = 8;
  double num_train_epochs = 3;
  int64_t max_steps = -1;  ///< positive: so many steps, whatever num_train_epochs says
  int64_t gradient_accumulation_steps = 1;

  double learning_rate = 5e-5;
  SchedulerType lr_scheduler_type = SchedulerType::linear;
  std::string lr_scheduler_kwargs{};  ///< a JSON object: {"num_cycles": 2}
  double warmup_steps = 0;
  double warmup_ratio = 0;
  OptimizerType optim = OptimizerType::adamw_torch;
  std::string optim_args{};  ///< "momentum=0.9,nesterov=true"
  double weight_decay = 0;   ///< of all parameters but biases and those of norms
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;
  double max_grad_norm = 1;  ///< 0: gradients are not clipped
  double label_smoothing_factor = 0;
  double layerwise_lr_decay = 1;      ///< each layer learns at this times the rate of the one above it
  std::vector<std::string> freeze{};  ///< parameters whose names hold one of these are left as they are

  /// Matrix products in bfloat16, in training and evaluation; parameters, their gradients and sums stay float32.
  bool bf16 = false;
  bool gradient_checkpointing = false;

  IntervalStrategy logging_strategy = IntervalStrategy::steps;
  double logging_steps = 500;
  bool logging_first_step = false;
  bool include_num_input_tokens_seen = false;
  bool disable_tqdm = false;             ///< `mica train` draws no progress bar; the library never does
  std::vector<std::string> report_to{};  ///< "tensorboard", "json", "html", "all" or "none"

  IntervalStrategy eval_strategy = IntervalStrategy::no;
  std::optional<double> eval_steps{};  ///< as logging_steps where it is not given
  double eval_delay = 0;               ///< epochs or steps, as eval_strategy, before the first evaluation
  bool eval_on_start = false;
  bool prediction_loss_only = false;
  bool predict_with_generate = false;  ///< of an encoder-decoder: evaluation generates the texts it measures
  std::optional<int64_t> generation_max_length{};
  std::optional<int64_t> generation_num_beams{};

  SaveStrategy save_strategy = SaveStrategy::steps;
  double save_steps = 500;
  std::optional<int64_t> save_total_limit{};  ///< so many checkpoints are kept, the best one always
  bool save_only_model = false;               ///< without what resuming needs
  bool load_best_model_at_end = false;
  std::string metric_for_best_model{};               ///< "loss" where load_best_model_at_end is set and this is not
  std::optional<bool> greater_is_better{};           ///< by default whether the metric's name does not end in "loss"
  std::optional<int64_t> early_stopping_patience{};  ///< evaluations in a row that may be no better
  double early_stopping_threshold = 0;               ///< what counts as better

  int64_t seed = 42;
  std::optional<int64_t> data_seed{};  ///< of the order of rows; as seed where it is not given
  SamplingStrategy train_sampling_strategy = SamplingStrategy::random;
  bool group_by_length = false;  ///< the older name of train_sampling_strategy group_by_length
  std::string length_column_name = "length";
  bool dataloader_drop_last = false;
  int64_t dataloader_num_workers = 0;
  std::optional<int64_t> dataloader_prefetch_factor{};
  std::string resume_from_checkpoint{};  ///< a folder, or "true": the last one in output_dir
  bool ignore_data_skip = false;         ///< a resumed run starts with the first rows of its epoch
};

/// One of the arguments by name, as program options and files see it.
struct TrainingArgumentField {
  const char* name;
  const char* help;
  bool is_flag;  ///< a bool, which may be named without a value
  /// The value as text; empty for an optional one that is not set.
  std::string (*text)(const TrainingArguments& arguments);
  /// Throws Error naming the argument and what it takes.
  void (*set)(TrainingArguments& arguments, std::string_view text);
};

/// Every argument, in the order above.
const std::vector<TrainingArgumentField>& training_argument_fields();

/// Throws Error for arguments that contradict each other or are out of range, naming them.
void check(const TrainingArguments& arguments);

/// As the text of a JSON object, every argument under its name.
std::string to_json(const TrainingArguments& arguments);

}  // namespace mica
