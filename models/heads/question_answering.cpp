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
    const Tensor scored = padded(scores, rows);  // [batch, tokens, 2]
    output->loss = affine(add(position_loss(select(scored, 2, 0), inputs.start_positions, "start_positions"),
                              position_loss(select(scored, 2, 1), inputs.end_positions, "end_positions")),
                          0.5);
  }

 private:
  // Per sequence; a ragged batch's shorter ones end in tokens that have no chance.
  static Tensor padded(const Tensor& scores, const Rows& rows) {
    if (rows.tokens_shape.rank() == 2) return reshape(scores, Shape{rows.tokens_shape[0], rows.tokens_shape[1], 2});
    const int64_t longest = rows.offsets.longest();
    std::vector<int64_t> places;
    for (int64_t i = 0; i < rows.batch(); ++i) {
      for (int64_t t = 0; t < longest; ++t) {
        places.push_back(t < rows.offsets.length(i) ? rows.offsets.begin(i) + t : rows.rows());
      }
    }
    const Tensor none = Tensor::full({1, 2}, -1e30, scores.dtype(), scores.device());
    const Tensor all = cat({scores, none}, 0);
    return reshape(index_select(all, Tensor::from(places).to(scores.device())), Shape{rows.batch(), longest, 2});
  }

  // A position outside the sequence (the answer was truncated away) doesn't count.
  static Tensor position_loss(const Tensor& logits, const Tensor& positions, const char* name) {
    const int64_t tokens = logits.size(1);
    std::vector<int64_t> clamped = flat_labels(positions, logits.size(0), name).to_vector<int64_t>();
    for (int64_t& position : clamped) position = std::clamp<int64_t>(position, 0, tokens);
    return cross_entropy(logits, Tensor::from(clamped), tokens);
  }

  Linear outputs_;
};

}  // namespace

std::unique_ptr<Head> make_question_answering_head(const HeadStyle& style, const Config&, const Scope& root,
                                                   const Network& network) {
  return std::make_unique<QuestionAnswering>(Linear(root / style.question, network.shape().hidden_size, 2));
}

}  // namespace mica
