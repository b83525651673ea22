#include "mica/training/loss.h"

#include <algorithm>
#include <string>
#include <vector>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/auto/virtual_inputs.h"

namespace mica {
namespace {

// What each row of logits is to predict, -100: nothing.
std::vector<int64_t> targets_of(const Model& model, const ModelInputs& inputs) {
  std::vector<int64_t> targets = model.head().targets(inputs);
  if (targets.empty() && !is_floating(inputs.labels.dtype())) targets = inputs.labels.to_vector<int64_t>();
  return targets;
}

}  // namespace

int64_t batch_rows(const ModelInputs& inputs) {
  if (!inputs.lengths.empty()) return static_cast<int64_t>(inputs.lengths.size());
  const Tensor& ids = inputs.input_ids.defined() ? inputs.input_ids : inputs.inputs_embeds;
  return ids.defined() ? ids.size(0) : 0;
}

int64_t batch_tokens(const ModelInputs& inputs) {
  if (!inputs.attention_mask.defined()) return inputs.input_ids.defined() ? inputs.input_ids.numel() : 0;
  const std::vector<int64_t> mask = inputs.attention_mask.to_vector<int64_t>();
  return static_cast<int64_t>(std::count(mask.begin(), mask.end(), 1));
}

int64_t loss_items(const Model& model, const ModelInputs& inputs) {
  if (!inputs.labels.defined() || model.task() == Task::base || model.task() == Task::text_encoding) {
    return batch_rows(inputs);
  }
  const std::vector<int64_t> targets = model.head().targets(with_virtual_tokens(model, inputs));
  if (targets.empty()) return batch_rows(inputs);
  return static_cast<int64_t>(targets.size()) - std::count(targets.begin(), targets.end(), -100);
}

Tensor smoothed_loss(const Model& model, const ModelInputs& inputs, const ModelOutput& output, double factor) {
  const Tensor& logits = output.logits;
  const VirtualTokens* virtual_tokens = virtual_tokens_of(model);
  if (virtual_tokens != nullptr && virtual_tokens->kind == VirtualTokenKind::prompt &&
      model.task() == Task::causal_lm) {
    throw Error("label_smoothing_factor with prompt tuning of a causal language model", "trainer",
                "leave it 0: the first token is predicted by a virtual one, which has no logits here");
  }
  const std::vector<int64_t> targets =
      inputs.labels.defined() && logits.defined() ? targets_of(model, inputs) : std::vector<int64_t>();
  const int64_t classes = logits.defined() ? logits.size(-1) : 0;
  if (targets.empty() || classes < 2 || logits.numel() != static_cast<int64_t>(targets.size()) * classes) {
    throw Error("label_smoothing_factor with a model for " + std::string(name(model.task())), "trainer",
                "leave it 0: its loss is not a cross entropy of one set of classes");
  }
  std::vector<int64_t> rows, labels;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] == -100) continue;
    rows.push_back(static_cast<int64_t>(i));
    labels.push_back(targets[i]);
  }
  const Tensor flat = reshape(logits, Shape{static_cast<int64_t>(targets.size()), classes});
  const Tensor log_p = log_softmax(index_select(flat, Tensor::from(rows)));
  const Tensor chosen = gather(log_p, Tensor::from(labels, {static_cast<int64_t>(labels.size()), 1}));
  return add(affine(mean(chosen), factor - 1), affine(mean(log_p), -factor));
}

}  // namespace mica
