#include "mica/training/evaluation.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/models/generation/generate.h"
#include "mica/training/loss.h"

namespace mica {
namespace {

bool is_per_token(Task task) {
  switch (task) {
    case Task::causal_lm:
    case Task::masked_lm:
    case Task::seq2seq_lm:
    case Task::pretraining:
    case Task::token_classification:
    case Task::question_answering:
      return true;
    default:
      return false;
  }
}

// A result of a batch as one tensor a row, copied: [rows, ...], or the tokens [sum of lengths, ...] of a ragged batch.
void append_rows(const Tensor& values, const std::vector<int64_t>& lengths, std::vector<Tensor>* rows) {
  if (!lengths.empty()) {
    int64_t begin = 0;
    for (const int64_t length : lengths) {
      rows->push_back(values.slice(0, begin, begin + length).clone());
      begin += length;
    }
    return;
  }
  for (int64_t i = 0; i < values.size(0); ++i) rows->push_back(values.select(0, i).clone());
}

// Tokens of each row of a padded batch, up to the last visible one; empty when there is no mask, or it begins with
// padding.
std::vector<int64_t> visible_lengths(const ModelInputs& inputs) {
  if (!inputs.attention_mask.defined() || inputs.attention_mask.rank() != 2) return {};
  const int64_t tokens = inputs.attention_mask.size(1);
  const std::vector<int64_t> mask = inputs.attention_mask.to_vector<int64_t>();
  std::vector<int64_t> lengths;
  for (size_t begin = 0; begin < mask.size(); begin += static_cast<size_t>(tokens)) {
    if (mask[begin] == 0) return {};
    int64_t length = tokens;
    while (length > 0 && mask[begin + static_cast<size_t>(length) - 1] == 0) --length;
    lengths.push_back(length);
  }
  return lengths;
}

}  // namespace

void Evaluation::add(const ModelInputs& batch) {
  const NoGrad no_grad;
  int64_t rows = batch_rows(batch);
  ModelInputs inputs = batch;
  const bool only_loss = options_.loss_only && !options_.generate;
  inputs.loss_only = only_loss;
  ModelOutput output;
  if (options_.predict) {
    output = options_.predict(model_, inputs);
    if (output.logits.defined()) rows = output.logits.size(0);
  } else {
    if (!options_.compute_loss || !only_loss) output = model_(inputs);
    if (options_.compute_loss) output.loss = options_.compute_loss(model_, inputs);
  }
  if (output.loss.defined()) {
    loss_ += output.loss.item<double>() * static_cast<double>(rows);
    loss_rows_ += rows;
  }
  result_.rows += rows;
  if (!only_loss) keep_predictions(batch, output);
}

void Evaluation::keep_predictions(const ModelInputs& batch, const ModelOutput& output) {
  EvalPrediction& kept = result_.prediction;
  const bool per_token = is_per_token(model_.task());
  // An encoder-decoder's predictions and labels are its decoder's, padded even where its inputs are ragged.
  const bool of_decoder = model_.network().shape().encoder_decoder && model_.task() == Task::seq2seq_lm;
  if (options_.generate) {
    ModelInputs prompt = batch;
    prompt.labels = {};
    prompt.decoder_input_ids = {};
    GenerationConfig config;
    config.max_length = options_.generation_max_length;
    config.num_beams = options_.generation_num_beams;
    const GenerationOutput generated = model_.generate(prompt, config);
    for (const std::vector<int64_t>& row : generated.tokens) kept.predictions.push_back(Tensor::from(row));
  } else {
    Tensor predictions = output.logits.defined()         ? output.logits
                         : output.start_logits.defined() ? output.start_logits
                                                         : output.prediction_logits;
    if (!predictions.defined()) {
      throw Error("a model for " + std::string(name(model_.task())) + " predicts nothing that could be measured",
                  "trainer", "set prediction_loss_only, or train another task");
    }
    std::vector<int64_t> lengths;
    if (per_token && !of_decoder) lengths = batch.lengths;
    if (options_.preprocess_logits) predictions = options_.preprocess_logits(predictions, batch.labels);
    append_rows(predictions.to(Device{}), lengths, &kept.predictions);
    if (output.end_logits.defined()) append_rows(output.end_logits.to(Device{}), lengths, &kept.end_logits);
    if (per_token && !of_decoder && lengths.empty()) {
      const std::vector<int64_t> visible = visible_lengths(batch);
      const auto cut = [&](std::vector<Tensor>* rows) {
        for (size_t i = 0; i < visible.size(); ++i) {
          Tensor& row = (*rows)[rows->size() - visible.size() + i];
          row = row.slice(0, 0, visible[i]);
        }
      };
      cut(&kept.predictions);
      if (output.end_logits.defined()) cut(&kept.end_logits);
    }
  }
  if (batch.labels.defined()) {
    const bool ragged = per_token && batch.labels.rank() == 1 && !batch.lengths.empty();
    const size_t first = kept.label_ids.size();
    append_rows(batch.labels.to(Device{}), ragged ? batch.lengths : std::vector<int64_t>(), &kept.label_ids);
    if (per_token && !of_decoder && !ragged && !options_.generate) {
      for (size_t i = first; i < kept.label_ids.size() && i < kept.predictions.size(); ++i) {
        Tensor& row = kept.label_ids[i];
        row = row.slice(0, 0, std::min(row.size(0), kept.predictions[i].size(0)));
      }
    }
  }
}

EvaluationResult Evaluation::finish() {
  if (loss_rows_ > 0) result_.loss = loss_ / static_cast<double>(loss_rows_);
  return std::move(result_);
}

}  // namespace mica
