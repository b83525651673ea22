#pragma once
// Evaluation: a model's predictions on a data set, row by row, and what is made of them.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/training/trainer_state.h"

namespace mica {

/// Predictions and labels of a data set, one entry a row, without padding.
struct EvalPrediction {
  /// float32: [labels] of a sequence, [tokens, labels] of its tokens, [choices]; start logits [tokens] of question
  /// answering; int64 [tokens] of generated texts.
  std::vector<Tensor> predictions{};
  std::vector<Tensor> end_logits{};  ///< [tokens], of question answering alone
  std::vector<Tensor> label_ids{};   ///< as the data has them: [], [tokens], [labels]; empty without labels
};

using MetricsFunction = std::function<LogEntry(const EvalPrediction& prediction)>;

/// What a batch of an evaluation gives, instead of the model's own output: predictions as `logits`, one entry a row
/// along the first dimension, and, where there is one, their loss.
using PredictionFunction = std::function<ModelOutput(const Model& model, const ModelInputs& inputs)>;

struct PredictionOutput {
  EvalPrediction prediction{};
  LogEntry metrics{};  ///< under their prefix
};

/// How a data set is gone through.
struct EvaluationOptions {
  bool loss_only = false;  ///< keep no predictions
  std::function<Tensor(const Tensor& logits, const Tensor& labels)> preprocess_logits{};
  std::function<Tensor(const Model& model, const ModelInputs& inputs)> compute_loss{};
  PredictionFunction predict{};
  bool generate = false;  ///< predictions are what generate() gives
  std::optional<int64_t> generation_max_length{}, generation_num_beams{};
};

struct EvaluationResult {
  std::optional<double> loss{};  ///< mean over the rows; nothing without labels
  EvalPrediction prediction{};
  int64_t rows = 0;
};

/// Gathers what a model says to batches; no gradient is recorded.
class Evaluation {
 public:
  Evaluation(const Model& model, EvaluationOptions options) : model_(model), options_(std::move(options)) {}
  void add(const ModelInputs& batch);
  EvaluationResult finish();

 private:
  void keep_predictions(const ModelInputs& batch, const ModelOutput& output);

  const Model& model_;
  EvaluationOptions options_;
  EvaluationResult result_;
  double loss_ = 0;
  int64_t loss_rows_ = 0;
};

}  // namespace mica
