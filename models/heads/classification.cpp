// Heads that score sequences, pairs of sentences, choices, or single tokens.

#include <utility>

#include "mica/autograd/activation.h"
#include "mica/autograd/loss.h"
#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/heads/parts.h"
#include "mica/models/heads/pooling.h"

namespace mica {

namespace {

SentencePooling pooling_named(const Config& config, const std::string& key, SentencePooling otherwise) {
  const std::string name = config.text(key);
  if (name == "mean") return SentencePooling::mean;
  if (name == "late") return SentencePooling::mean_score;
  if (name == "cls" || name == "bos") return otherwise;
  throw Error(key + " \"" + printable(name) + "\"", config.where(), "mica knows cls, bos, mean and late");
}

// A config writes one token as a number, several as a list.
std::vector<double> one_or_more(const Config& config, const std::string& key) {
  if (!config.has(key)) return {};
  return config.json(key).front() == '[' ? config.numbers(key) : std::vector<double>{config.number(key)};
}

}  // namespace

SentenceHead::SentenceHead(const SentenceStyle& style, const TransformStyle& transform, const Config& config,
                           const Scope& root, const Network& network, int64_t outputs)
    : pooling_(style.pooling),
      eos_token_ids_(one_or_more(config, "eos_token_id")),
      activation_(style.activation),
      dropout_(style.dropout_key.empty() ? classifier_dropout(config) : config.number_in(style.dropout_key, 0, 0.999)),
      transform_(transform, config, root, network) {
  if (config.has("pad_token_id")) pad_token_id_ = config.integer("pad_token_id");
  if (!style.pooling_key.empty()) pooling_ = pooling_named(config, style.pooling_key, pooling_);
  const int64_t hidden = network.shape().hidden_size;
  if (!style.activation_key.empty() && config.has(style.activation_key)) {
    activation_ = activation_from_name(config.text(style.activation_key));
  }
  if (!style.dense.empty()) dense_ = Linear(root / style.dense, hidden, hidden);
  classifier_ = Linear(root / style.classifier, hidden, outputs, style.bias);
}

Tensor SentenceHead::vector(const Network& network, const Tensor& hidden, const Rows& rows,
                            const ModelInputs& inputs) const {
  switch (pooling_) {
    case SentencePooling::pooler:
      return network.pool(hidden, rows);
    case SentencePooling::first_token:
      return first_rows(hidden, rows);
    case SentencePooling::last_token:
      return last_rows(hidden, rows, pad_token_id_);
    case SentencePooling::last_row:
      return last_rows(hidden, rows);
    case SentencePooling::end_token:
      return end_rows(hidden, rows, inputs.input_ids, eos_token_ids_);
    case SentencePooling::first_shown:
      return first_shown_rows(hidden, rows);
    case SentencePooling::mean:
      return mean_rows(hidden, rows);
    case SentencePooling::mean_score:
      return hidden;
  }
  return {};
}

Tensor SentenceHead::operator()(const Network& network, const Tensor& hidden, const Rows& rows,
                                const ModelInputs& inputs) const {
  Tensor x = transform_(vector(network, hidden, rows, inputs));
  const double p = rows.training ? dropout_ : 0;
  if (dense_.defined()) x = dense_(x, {.activation = activation_});
  x = classifier_(dropout(x, p));
  return pooling_ == SentencePooling::mean_score ? mean_rows(x, rows) : x;
}

namespace {

// The loss that the reference picks from the number of labels and their dtype, unless problem_type says which.
Tensor classification_loss(const Tensor& logits, const Tensor& labels, const Config& config) {
  std::string problem = config.problem_type;
  const int64_t classes = logits.size(1);
  if (problem.empty()) {
    problem = classes == 1                   ? "regression"
              : !is_floating(labels.dtype()) ? "single_label_classification"
                                             : "multi_label_classification";
  }
  if (problem == "single_label_classification")
    return cross_entropy(logits, flat_labels(labels, logits.size(0), "labels"));
  if (problem != "regression" && problem != "multi_label_classification") {
    throw Error("problem_type \"" + printable(problem) + "\"", config.where(),
                "use regression, single_label_classification or multi_label_classification");
  }
  if (labels.numel() != logits.numel()) {
    throw Error("\"labels\" has shape " + to_string(labels.shape()), "model inputs",
                "for " + problem + " it must be " + to_string(logits.shape()));
  }
  const Tensor targets = labels.contiguous().reshape(logits.shape()).to(logits.dtype());
  return problem == "regression" ? mse_loss(logits, targets) : bce_with_logits(logits, targets);
}

class SequenceClassification : public Head {
 public:
  SequenceClassification(SentenceHead head, Config config) : head_(std::move(head)), config_(std::move(config)) {}

  void forward(const Network& network, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    output->logits = head_(network, hidden, rows, inputs);
    if (inputs.labels.defined()) output->loss = classification_loss(output->logits, inputs.labels, config_);
  }

 private:
  SentenceHead head_;
  Config config_;
};

class MultipleChoice : public Head {
 public:
  explicit MultipleChoice(SentenceHead head) : head_(std::move(head)) {}

  void forward(const Network& network, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    const Tensor& ids = inputs.input_ids.defined() ? inputs.input_ids : inputs.inputs_embeds;
    const int rank = inputs.input_ids.defined() ? 3 : 4;
    if (ids.rank() != rank) {
      throw Error("multiple choice with inputs of shape " + to_string(ids.shape()), "model inputs",
                  "need [batch, choices, tokens]");
    }
    const int64_t choices = ids.size(1);
    const Tensor scores = head_(network, hidden, rows, inputs);  // [batch * choices, 1]
    output->logits = reshape(scores, Shape{ids.size(0), choices});
    if (inputs.labels.defined()) {
      output->loss = cross_entropy(output->logits, flat_labels(inputs.labels, ids.size(0), "labels"));
    }
  }

 private:
  SentenceHead head_;
};

class NextSentence : public Head {
 public:
  explicit NextSentence(SentenceHead head) : head_(std::move(head)) {}

  void forward(const Network& network, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    output->logits = head_(network, hidden, rows, inputs);
    const Tensor& labels = inputs.labels.defined() ? inputs.labels : inputs.next_sentence_label;
    if (labels.defined()) output->loss = cross_entropy(output->logits, flat_labels(labels, rows.batch(), "labels"));
  }

 private:
  SentenceHead head_;
};

class TokenClassification : public Head {
 public:
  TokenClassification(Linear classifier, double p) : classifier_(std::move(classifier)), dropout_(p) {}

  void forward(const Network&, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    const Tensor logits = classifier_(dropout(hidden, rows.training ? dropout_ : 0));
    if (inputs.labels.defined()) {
      output->loss = cross_entropy(logits, flat_labels(inputs.labels, rows.rows(), "labels"));
    }
    output->logits = per_token(logits, rows);
  }
  std::vector<int64_t> targets(const ModelInputs& inputs) const override {
    return flat_labels(inputs.labels, inputs.labels.numel(), "labels").to_vector<int64_t>();
  }

 private:
  Linear classifier_;
  double dropout_;
};

}  // namespace

std::unique_ptr<Head> make_sequence_classification_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                        const Network& network) {
  return std::make_unique<SequenceClassification>(
      SentenceHead(style.sequence, style.transform, config, root, network, config.num_labels), config);
}

std::unique_ptr<Head> make_multiple_choice_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                const Network& network) {
  return std::make_unique<MultipleChoice>(SentenceHead(style.choice, style.transform, config, root, network, 1));
}

std::unique_ptr<Head> make_next_sentence_head(const HeadStyle& style, const Config& config, const Scope& root,
                                              const Network& network) {
  return std::make_unique<NextSentence>(
      SentenceHead({.classifier = style.relationship}, style.transform, config, root, network, 2));
}

std::unique_ptr<Head> make_token_classification_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                     const Network& network) {
  return std::make_unique<TokenClassification>(
      Linear(root / style.token, network.shape().hidden_size, config.num_labels), classifier_dropout(config));
}

}  // namespace mica
