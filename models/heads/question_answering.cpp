// Extractive question answering: a start and an end score for every token.

#include <algorithm>
#include <utility>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/loss.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/heads/parts.h"

namespace mica {
namespace {

class QuestionAnswering : public Head {
 public:
  explicit QuestionAnswering(Linear outputs) : outputs_(std::move(outputs)) {}

  void forward(const Network&, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    const Tensor scores = outputs_(hidden);  // [rows, 2]
    output->start_logits = reshape(select(scores, 1, 0), rows.tokens_shape);
    output->end_logits = reshape(select(scores, 1, 1), rows.tokens_shape);
    if (!inputs.start_positions.defined() || !inputs.end_positions.defined()) return;
    refuse_ragged_labels(rows, inputs.start_positions);
    output->loss = affine(add(position_loss(output->start_logits, inputs.start_positions, "start_positions"),
                              position_loss(output->end_logits, inputs.end_positions, "end_positions")),
                          0.5);
  }

 private:
  // A position outside the sequence (the answer was truncated away) doesn't count.
  static Tensor position_loss(const Tensor& logits, const Tensor& positions, const char* name) {
    const int64_t tokens = logits.size(1);
    std::vector<int64_t> clamped = flat_labels(positions, logits.size(0), name).to_vector<int64_t>();
    for (int64_t& position : clamped) position = std::clamp<int64_t>(position, 0, tokens);
    return cross_entropy(logits, Tensor::from(clamped).to(logits.device()), tokens);
  }

  Linear outputs_;
};

}  // namespace

std::unique_ptr<Head> make_question_answering_head(const HeadStyle& style, const Config&, const Scope& root,
                                                   const Network& network) {
  return std::make_unique<QuestionAnswering>(Linear(root / style.question, network.shape().hidden_size, 2));
}

}  // namespace mica
