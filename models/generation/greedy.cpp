#include "mica/models/generation/greedy.h"

#include "mica/base/error.h"

namespace mica {
namespace {

// The most probable token after each row of logits [batch, tokens, vocab].
std::vector<int64_t> last_column_argmax(const Tensor& logits) {
  return logits.select(1, -1).contiguous().argmax(-1).to_vector<int64_t>();
}

// x [batch, tokens] with one more column.
Tensor append_column(const Tensor& x, const std::vector<int64_t>& column) {
  const std::vector<int64_t> old = x.to_vector<int64_t>();
  const int64_t tokens = x.size(1);
  std::vector<int64_t> values;
  for (int64_t row = 0; row < x.size(0); ++row) {
    values.insert(values.end(), old.begin() + row * tokens, old.begin() + (row + 1) * tokens);
    values.push_back(column[static_cast<size_t>(row)]);
  }
  return Tensor::from(values, {x.size(0), tokens + 1});
}

// 0, 1, 2, ... for every row.
Tensor positions(int64_t batch, int64_t count) {
  std::vector<int64_t> values;
  for (int64_t row = 0; row < batch; ++row) {
    for (int64_t i = 0; i < count; ++i) values.push_back(i);
  }
  return Tensor::from(values, {batch, count});
}

std::vector<int64_t> last_column(const Tensor& x) {
  return x.select(1, -1).contiguous().to_vector<int64_t>();
}

}  // namespace

Tensor greedy(const Model& model, const ModelInputs& inputs, int64_t new_tokens) {
  if (model.task() != Task::causal_lm) {
    throw Error("generation with a model for " + std::string(name(model.task())), "generate", "open it for causal_lm");
  }
  if (!inputs.input_ids.defined() || inputs.input_ids.rank() != 2) {
    throw Error("no prompt", "generate", "give input_ids [batch, tokens]");
  }
  if (new_tokens < 0) throw Error("a negative number of new tokens", "generate", "ask for 0 or more");
  const NoGrad no_grad;
  const bool causal = model.config().is_decoder;
  const int64_t prompt = inputs.input_ids.size(1);
  Tensor ids = inputs.input_ids;
  Tensor types = inputs.token_type_ids;
  for (int64_t i = 0; i < new_tokens; ++i) {
    ModelInputs step;
    step.input_ids = ids;
    step.token_type_ids = types;
    step.position_ids = positions(ids.size(0), ids.size(1));
    if (!causal) step.prefix_length = prompt;
    const Tensor logits = model(step).logits;
    ids = append_column(ids, last_column_argmax(logits));
    if (types.defined()) types = append_column(types, last_column(types));
  }
  return ids;
}

}  // namespace mica
