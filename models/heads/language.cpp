// Heads that predict words: masked and causal language modelling, BERT's and ALBERT's pre-training, ELECTRA's.

#include <algorithm>
#include <utility>

#include "mica/autograd/activation.h"
#include "mica/autograd/checkpoint.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/loss.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/heads/parts.h"

namespace mica {

LanguageHead::LanguageHead(const LanguageStyle& style, const Config& config, const Scope& root,
                           const Network& network) {
  const int64_t hidden = network.shape().hidden_size;
  const int64_t size = style.dense.empty() ? hidden : network.shape().embedding_size;
  const int64_t vocabulary = network.shape().vocab_size;
  if (style.config_activation) activation_ = network.shape().activation;
  if (!style.dense.empty()) {
    dense_ = Linear(root / style.dense, hidden, size);
    norm_ = Norm(root / style.norm, size, {.eps = network.shape().layer_norm_eps});
  }
  scale_ = network.shape().logits_scale;
  softcap_ = network.shape().logits_softcap;
  const Scope decoder = root / style.decoder;
  const bool tied = style.decoder.empty() || config.flag("tie_word_embeddings", true);
  const bool same = style.decoder.empty() || style.bias.empty() || style.bias_is_buffer || style.bias_is_own ||
                    style.bias == style.decoder + ".bias";
  Tensor bias;
  // Of the whole model: the decoder of a pair has none.
  if (style.bias_is_buffer && network.shape().encoder_decoder && root.prefix().empty()) {
    bias = root.reshaped(root.buffer(style.bias, Tensor::zeros({1, vocabulary})), {vocabulary});
  } else if (!style.bias.empty() && !style.bias_is_buffer && (style.bias_key.empty() || config.flag(style.bias_key))) {
    if (tied && !same) root.spell(style.bias, style.decoder + ".bias");
    bias = root.zeros(style.bias, {vocabulary});
  }
  if (tied) {
    if (same) decoder.ignore("bias");
    if (!same && bias.defined()) bias = decoder.tied("bias", bias);
    hidden_scale_ = network.shape().hidden_scale;
    const Tensor& words = network.word_embeddings();
    decoder_ = Linear(style.decoder.empty() ? words : decoder.tied("weight", words), bias, root.options());
    return;
  }
  // Untied, the decoder has a bias of its own, and the other one stays in the file, unused. One that is a buffer is
  // added in either case.
  const Tensor own_weight = decoder.matrix("weight", {vocabulary, size});
  decoder_ = Linear(own_weight, same ? bias : decoder.zeros("bias", {vocabulary}), root.options());
}

Tensor LanguageHead::operator()(const Tensor& hidden) const {
  Tensor x = hidden;
  if (dense_.defined()) x = dense_(x, {.activation = activation_, .norm = &norm_});
  if (hidden_scale_ != 1) x = affine(x, hidden_scale_);
  Tensor logits = decoder_(x);
  if (scale_ != 1) logits = affine(logits, scale_);
  return softcap_ > 0 ? softcap(logits, softcap_) : logits;
}

namespace {

const LanguageStyle& language_of(const HeadStyle& style, const Config& config) {
  return style.language_key.empty() || config.flag(style.language_key) ? style.language : style.other_language;
}

// What each row is to predict, -100: nothing. Causal: shifting the labels left and ignoring each sequence's last one
// gives the loss of logits[:, :-1] against labels[:, 1:]. Labels are [batch, tokens], or [rows] of a ragged batch.
std::vector<int64_t> language_targets(const ModelInputs& inputs, bool causal) {
  const Tensor& labels = inputs.labels;
  std::vector<int64_t> targets = flat_labels(labels, labels.numel(), "labels").to_vector<int64_t>();
  if (!causal || targets.empty()) return targets;
  std::rotate(targets.begin(), targets.begin() + 1, targets.end());
  if (labels.rank() == 1 && !inputs.lengths.empty()) {
    int64_t end = 0;
    for (const int64_t length : inputs.lengths) {
      end += length;
      if (length > 0 && end <= labels.numel()) targets[static_cast<size_t>(end - 1)] = -100;
    }
  } else {
    const auto tokens = static_cast<size_t>(labels.size(-1));
    for (size_t last = tokens - 1; last < targets.size(); last += tokens) targets[last] = -100;
  }
  return targets;
}

// The loss of predicting labels [batch, tokens] from logits [rows, vocab]; causal: each token from those before it.
Tensor language_loss(const Tensor& logits, const ModelInputs& inputs, bool causal) {
  flat_labels(inputs.labels, logits.size(0), "labels");
  return cross_entropy(logits, Tensor::from(language_targets(inputs, causal)));
}

// While a step is recorded its labels lie on the device, and the host knows none of them: every row counts as labelled
// that can predict one. (Those without a label are ignored all the same, but their logits are computed.)
bool unknown(const Tensor& labels) {
  return !labels.device().is_cpu() && backend(labels.device()).recording();
}

// The rows that predict a label, and which labels those are. Causal: none of a sequence's last row.
struct Predictions {
  Tensor rows;  ///< undefined: all
  Tensor labels;
};
Predictions predictions_on_device(const Tensor& given, const SequenceOffsets& offsets, bool causal) {
  const Tensor labels = flat_labels(given, offsets.rows(), "labels");
  if (!causal) return {{}, labels};
  std::vector<int64_t> rows;
  std::vector<Tensor> next;
  const int64_t longest = offsets.longest();
  const bool equal = offsets.count() * longest == offsets.rows();
  for (int64_t s = 0; s < offsets.count(); ++s) {
    const int64_t begin = offsets.begin(s), end = begin + offsets.length(s);
    for (int64_t row = begin; row + 1 < end; ++row) rows.push_back(row);
    if (!equal && begin + 1 < end) next.push_back(labels.slice(0, begin + 1, end));
  }
  if (rows.empty()) return {{}, Tensor::full({offsets.rows()}, -100, DType::int64, labels.device())};
  const Tensor index = Tensor::from(rows).to(labels.device());
  if (!equal) return {index, cat(next, 0)};
  return {index, labels.reshape({offsets.count(), longest}).slice(1, 1, longest).contiguous().flatten(0)};
}

constexpr int64_t kMostLogits = int64_t{1} << 26;  // at once; 256 MB of float32

class LanguageModel : public Head {
 public:
  LanguageModel(LanguageHead head, bool causal) : head_(std::move(head)), causal_(causal) {}

  void forward(const Network&, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    if (inputs.labels.defined() && inputs.loss_only) {
      flat_labels(inputs.labels, rows.rows(), "labels");
      output->loss = unknown(inputs.labels)
                         ? loss_of(predictions_on_device(inputs.labels, rows.offsets, causal_), hidden)
                         : loss_of_labelled(hidden, language_targets(inputs, causal_));
      return;
    }
    const Tensor logits = head_(hidden);
    if (inputs.labels.defined()) output->loss = language_loss(logits, inputs, causal_);
    output->logits = per_token(logits, rows);
  }
  Tensor logits(const Tensor& hidden) const override { return head_(hidden); }
  std::vector<int64_t> targets(const ModelInputs& inputs) const override { return language_targets(inputs, causal_); }

 private:
  // Rows that predict nothing are not multiplied by the vocabulary: of masked words 85 % of all.
  Tensor loss_of_labelled(const Tensor& hidden, const std::vector<int64_t>& all) const {
    std::vector<int64_t> labelled, labels;
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i] == -100) continue;
      labelled.push_back(static_cast<int64_t>(i));
      labels.push_back(all[i]);
    }
    if (labelled.empty()) return cross_entropy(head_(hidden), Tensor::from(all));
    if (labelled.size() == all.size()) return loss_of_rows(hidden, Tensor::from(all));
    return loss_of({Tensor::from(labelled).to(hidden.device()), Tensor::from(labels)}, hidden);
  }

  Tensor loss_of(const Predictions& predictions, const Tensor& hidden) const {
    const Tensor& rows = predictions.rows;
    return loss_of_rows(rows.defined() ? index_select(hidden, rows) : hidden, predictions.labels);
  }

  // The mean over rows that all have a label, in chunks of rows where there are too many logits for once: a step then
  // holds those of one chunk, whose backward pass makes them again.
  Tensor loss_of_rows(const Tensor& hidden, const Tensor& labels) const {
    const int64_t rows = hidden.size(0);
    const int64_t most = std::max<int64_t>(1, kMostLogits / head_.vocab_size());
    if (rows <= most) return cross_entropy(head_(hidden), labels);
    Tensor loss;
    for (int64_t begin = 0; begin < rows; begin += most) {
      const int64_t end = std::min(begin + most, rows);
      const Tensor part = slice(hidden, 0, begin, end);
      const Tensor own = labels.slice(0, begin, end);
      const Tensor mean = checkpoint([head = head_, part, own] { return cross_entropy(head(part), own); });
      const Tensor share = affine(mean, static_cast<double>(end - begin) / static_cast<double>(rows));
      loss = loss.defined() ? add(loss, share) : share;
    }
    return loss;
  }

  LanguageHead head_;
  bool causal_;
};

// Masked words, and whether two sentences belong together in this order.
class PreTraining : public Head {
 public:
  PreTraining(const HeadStyle& style, const Config& config, const Scope& root, const Network& network)
      : words_(language_of(style, config), config, root, network),
        order_(root / style.order_classifier, network.shape().hidden_size, 2),
        order_output_(style.order_output),
        order_label_(style.order_label) {}

  void forward(const Network& network, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    const Tensor logits = words_(hidden);
    const Tensor order = order_(network.pool(hidden, rows));
    ModelInputs named = inputs;
    const Tensor label = named[order_label_];
    if (inputs.labels.defined() && label.defined()) {
      output->loss = add(language_loss(logits, inputs, false),
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
  ReplacedToken(const HeadStyle& style, const Scope& root, const Network& network)
      : dense_(root / style.replaced_dense, network.shape().hidden_size, network.shape().hidden_size),
        projection_(root / style.replaced_projection, network.shape().hidden_size, 1),
        activation_(network.shape().activation) {}

  void forward(const Network&, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    const Tensor logits = reshape(projection_(dense_(hidden, {.activation = activation_})), Shape{rows.rows()});
    output->logits = reshape(logits, rows.tokens_shape);
    if (!inputs.labels.defined()) return;
    if (inputs.labels.numel() != rows.rows()) flat_labels(inputs.labels, rows.rows(), "labels");
    const Tensor targets = inputs.labels.contiguous().reshape({rows.rows()}).to(logits.dtype()).to(logits.device());
    // Only visible tokens count.
    std::vector<int64_t> visible;
    const std::vector<uint8_t> mask = rows.shown.defined() ? rows.shown.to_vector<uint8_t>() : std::vector<uint8_t>();
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
                                         const Network& network, bool causal) {
  return std::make_unique<LanguageModel>(LanguageHead(language_of(style, config), config, root, network),
                                         causal && style.shifts_labels);
}

std::unique_ptr<Head> make_pretraining_head(const HeadStyle& style, const Config& config, const Scope& root,
                                            const Network& network) {
  return std::make_unique<PreTraining>(style, config, root, network);
}

std::unique_ptr<Head> make_replaced_token_head(const HeadStyle& style, const Config&, const Scope& root,
                                               const Network& network) {
  return std::make_unique<ReplacedToken>(style, root, network);
}

}  // namespace mica
