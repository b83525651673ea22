#pragma once
// Trainer: a model, data and arguments to a trained model, with evaluation, checkpoints and reports.
//
//     Trainer trainer(model, {.output_dir = "results", .learning_rate = 2e-5, .num_train_epochs = 3}, tokenized);
//     trainer.train();
//     model.save_pretrained("sentiment-model");

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/tensor/safetensors.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/training/callback.h"
#include "mica/training/collators/collator.h"
#include "mica/training/dataset/dataset.h"
#include "mica/training/evaluation.h"
#include "mica/training/optimizers/optimizer.h"
#include "mica/training/trainer_state.h"
#include "mica/training/training_arguments.h"

namespace mica {

class Communicator;

/// The loss of a batch, one element, instead of the model's own. Its gradient is the mean over the batch's rows.
using LossFunction = std::function<Tensor(const Model& model, const ModelInputs& inputs)>;

struct TrainerParts {
  std::optional<Dataset> eval_dataset{};
  /// Saved beside the model; also pads batches where no collator is given.
  std::optional<Tokenizer> processing_class{};
  /// Makes batches of rows; by default one that pads with the tokenizer, or that of the task.
  std::shared_ptr<const DataCollator> data_collator{};
  MetricsFunction compute_metrics{};
  /// Makes less of an evaluation's logits before they are kept: their argmax, say.
  std::function<Tensor(const Tensor& logits, const Tensor& labels)> preprocess_logits_for_metrics{};
  LossFunction compute_loss{};
  /// What evaluations see of a batch; by default the model's output with the loss above.
  PredictionFunction predict{};
  /// Parameters that learn beside the model's, under names of their own: the layers behind a sentence transformer.
  NamedTensors more_parameters{};
  /// Writes all that is trained as a folder that opens, and gives it the values of such a folder; both or neither. By
  /// default that is the model with its tokenizer.
  std::function<void(const std::string&folder)> save{}, load{};
  /// Asked after each step; when it says true, a checkpoint is saved and train() returns.
  std::function<bool()> interrupted{};
  Callbacks callbacks{};
  /// What a saved adapter's base_model_name_or_path says: the folder or hub id of the model it was trained on.
  std::string adapter_base_model{};
  /// The processes that train together (training/distributed/communicator.h), each with a Trainer of the same model,
  /// arguments and data. A step takes per_device_train_batch_size x gradient_accumulation_steps rows of every one; the
  /// process of rank 0 evaluates, reports and saves. None: this process alone.
  std::shared_ptr<Communicator> communicator{};
};

struct TrainOutput {
  int64_t global_step = 0;
  double training_loss = 0;  ///< mean over the steps of this run
  LogEntry metrics{};        ///< train_runtime [s], train_samples_per_second, train_steps_per_second, train_loss, epoch
  bool interrupted = false;
};

class Trainer {
 public:
  /// Throws Error for arguments that contradict each other. A model is a handle: the caller's is trained.
  Trainer(Model model, TrainingArguments arguments, Dataset train_dataset, TrainerParts options = {});
  /// Of a model that is only evaluated.
  Trainer(Model model, TrainingArguments arguments, TrainerParts options = {});
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Trains to the end, or to an early stop, from the start or from arguments.resume_from_checkpoint. Throws Error,
  /// naming the step, for a loss that is no number; what was saved before stays. Of several processes all must call it,
  /// and evaluate(), save_model() and save_state() too; an error of one is thrown, as a GroupError, on every one.
  TrainOutput train();
  /// Metrics "eval_loss", "eval_...", of options.eval_dataset or of another one.
  LogEntry evaluate();
  LogEntry evaluate(const Dataset& dataset, const std::string& metric_key_prefix = "eval");
  /// By this process alone.
  PredictionOutput predict(const Dataset& dataset, const std::string& metric_key_prefix = "test");

  /// Model (of one with adapters the adapter alone) and tokenizer, as a folder that opens; by default in output_dir.
  void save_model(const std::string& folder = "") const;
  /// trainer_state.json in output_dir.
  void save_state() const;

  void add_callback(std::shared_ptr<TrainerCallback> callback);
  const TrainingArguments& arguments() const;
  const TrainerState& state() const;
  const Model& model() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mica
