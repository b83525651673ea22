// Heads that predict words: masked and causal language modelling, BERT's and ALBERT's pre-training, ELECTRA's.

#include <utility>

#include "mica/autograd/activation.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/loss.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/heads/parts.h"

namespace mica {

LanguageHead::LanguageHead(const LanguageStyle& style, const Config& config, const Scope& root,
                           const Encoder& encoder) {
  const int64_t hidden = encoder.spec().hidden_size;
  const int64_t size = style.dense.empty() ? hidden : encoder.spec().embedding_size;
  const int64_t vocabulary = encoder.spec().vocab_size;
  if (style.config_activation) activation_ = encoder.spec().activation;
  if (!style.dense.empty()) {
    dense_ = Linear(root / style.dense, hidden, size);
    norm_ = LayerNorm(root / style.norm, size, encoder.spec().layer_norm_eps);
  }
  const Tensor bias = root.zeros(style.bias, {vocabulary});
  const Scope decoder = root / style.decoder;
  if (config.flag("tie_word_embeddings", true)) {
    decoder.ignore("weight");
    decoder.ignore("bias");
    decoder_ = Linear(encoder.word_embeddings(), bias, root.options());
    return;
  }
  // Untied, the decoder has a bias of its own; the other one stays in the file, unused.
  const Tensor own_weight = decoder.weight("weight", {vocabulary, size});
  const bool same = style.bias == style.decoder + ".bias";
  decoder_ = Linear(own_weight, same ? bias : decoder.zeros("bias", {vocabulary}), root.options());
}

Tensor LanguageHead::operator()(const Tensor& hidden) const {
  if (!dense_.defined()) return decoder_(hidden);
  return decoder_(dense_(hidden, {.activation = activation_, .norm = &norm_}));
}

namespace {

// The loss of predicting labels [batch, tokens] from logits [rows, vocab]; causal: each token from those before it.
Tensor language_loss(const Tensor& logits, const Tensor& labels, const Rows& rows, bool causal) {
  refuse_ragged_labels(rows, labels);
  const Tensor flat = flat_labels(labels, rows.rows(), "labels");
  if (!causal) return cross_entropy(logits, flat);
  // Shifting the labels left and ignoring each last one gives the loss of logits[:, :-1] against labels[:, 1:].
  std::vector<int64_t> shifted = flat.to_vector<int64_t>();
  const int64_t tokens = rows.tokens_shape[1];
  for (size_t i = 0; i < shifted.size(); ++i) {
    const bool last = static_cast<int64_t>(i) % tokens == tokens - 1;
    shifted[i] = last ? -100 : shifted[i + 1];
  }
  return cross_entropy(logits, Tensor::from(shifted).to(logits.device()));
}

class LanguageModel : public Head {
 public:
  LanguageModel(LanguageHead head, bool causal) : head_(std::move(head)), causal_(causal) {}

  void forward(const Encoder&, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    const Tensor logits = head_(hidden);
    if (inputs.labels.defined()) output->loss = language_loss(logits, inputs.labels, rows, causal_);
    output->logits = per_token(logits, rows);
  }

 private:
  LanguageHead head_;
  bool causal_;
};

// Masked words, and whether two sentences belong together in this order.
class PreTraining : public Head {
 public:
  PreTraining(const HeadStyle& style, const Config& config, const Scope& root, const Encoder& encoder)
      : words_(style.language, config, root, encoder),
        order_(root / style.order_classifier, encoder.spec().hidden_size, 2),
        order_output_(style.order_output),
        order_label_(style.order_label) {}

  void forward(const Encoder& encoder, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    const Tensor logits = words_(hidden);
    const Tensor order = order_(encoder.pool(hidden, rows));
    ModelInputs named = inputs;
    const Tensor label = named[order_label_];
    if (inputs.labels.defined() && label.defined()) {
      output->loss = add(language_loss(logits, inputs.labels, rows, false),
                         cross_entropy(order, flat_labels(label, rows.batch(), order_label_.c_str())));
    }
    output->prediction_logits = per_token(logits, rows);
    (order_output_ == "sop_logits" ? output->sop_logits : output->seq_relationship_logits) = order;
  }

 private:
  LanguageHead words_;
  Linear order_;
  std::string order_output_, order_label_;
};

// For each token: was it replaced?
class ReplacedToken : public Head {
 public:
  ReplacedToken(const HeadStyle& style, const Scope& root, const Encoder& encoder)
      : dense_(root / style.replaced_dense, encoder.spec().hidden_size, encoder.spec().hidden_size),
        projection_(root / style.replaced_projection, encoder.spec().hidden_size, 1),
        activation_(encoder.spec().activation) {}

  void forward(const Encoder&, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    const Tensor logits = reshape(projection_(dense_(hidden, {.activation = activation_})), Shape{rows.rows()});
    output->logits = reshape(logits, rows.tokens_shape);
    if (!inputs.labels.defined()) return;
    refuse_ragged_labels(rows, inputs.labels);
    if (inputs.labels.numel() != rows.rows()) flat_labels(inputs.labels, rows.rows(), "labels");
    const Tensor targets = inputs.labels.contiguous().reshape({rows.rows()}).to(logits.dtype()).to(logits.device());
    // Only visible tokens count.
    std::vector<int64_t> visible;
    const std::vector<uint8_t> mask =
        rows.key_mask.defined() ? rows.key_mask.to_vector<uint8_t>() : std::vector<uint8_t>();
    for (int64_t i = 0; i < rows.rows(); ++i) {
      if (mask.empty() || mask[static_cast<size_t>(i)] != 0) visible.push_back(i);
    }
    const Tensor index = Tensor::from(visible).to(logits.device());
    output->loss = bce_with_logits(index_select(logits, index), index_select(targets, index));
  }

 private:
  Linear dense_, projection_;
  Activation activation_;
};

}  // namespace

std::unique_ptr<Head> make_language_head(const HeadStyle& style, const Config& config, const Scope& root,
                                         const Encoder& encoder, bool causal) {
  return std::make_unique<LanguageModel>(LanguageHead(style.language, config, root, encoder), causal);
}

std::unique_ptr<Head> make_pretraining_head(const HeadStyle& style, const Config& config, const Scope& root,
                                            const Encoder& encoder) {
  return std::make_unique<PreTraining>(style, config, root, encoder);
}

std::unique_ptr<Head> make_replaced_token_head(const HeadStyle& style, const Config&, const Scope& root,
                                               const Encoder& encoder) {
  return std::make_unique<ReplacedToken>(style, root, encoder);
}

}  // namespace mica
