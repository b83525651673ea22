#pragma once
// What several heads share.

#include <optional>
#include <vector>

#include "mica/models/heads/head.h"
#include "mica/models/modules/linear.h"
#include "mica/models/modules/norm.h"

namespace mica {

/// Labels int64, flat.
Tensor flat_labels(const Tensor& labels, int64_t expected, const char* name);

/// norm(activation(dense(x))), as a style says.
class HeadTransform {
 public:
  HeadTransform(const TransformStyle& style, const Config& config, const Scope& root, const Network& network);
  Tensor operator()(const Tensor& x) const;

 private:
  Linear dense_;
  Norm norm_;
  Activation activation_ = Activation::gelu;
};

class LanguageHead {
 public:
  LanguageHead(const LanguageStyle& style, const Config& config, const Scope& root, const Network& network);
  /// logits [rows, vocab_size] of hidden [rows, hidden_size].
  Tensor operator()(const Tensor& hidden) const;
  int64_t vocab_size() const { return decoder_.out(); }

 private:
  Linear dense_, decoder_;
  Norm norm_;
  Activation activation_ = Activation::gelu;
  double hidden_scale_ = 1, scale_ = 1, softcap_ = 0;
};

class SentenceHead {
 public:
  SentenceHead(const SentenceStyle& style, const TransformStyle& transform, const Config& config, const Scope& root,
               const Network& network, int64_t outputs);
  /// [batch, outputs].
  Tensor operator()(const Network& network, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs) const;

 private:
  Tensor vector(const Network& network, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs) const;

  SentencePooling pooling_;
  std::optional<int64_t> pad_token_id_;
  std::vector<double> eos_token_ids_;
  Activation activation_;
  double dropout_;
  HeadTransform transform_;
  Linear dense_, classifier_;
};

/// A head of single tokens behind the style's transform; the head itself where there is none.
std::unique_ptr<Head> transformed(std::unique_ptr<Head> head, const TransformStyle& style, const Config& config,
                                  const Scope& root, const Network& network);

/// The dropout before a classifier: classifier_dropout, or the config's own spelling, or that of hidden states.
double classifier_dropout(const Config& config);

std::unique_ptr<Head> make_language_head(const HeadStyle& style, const Config& config, const Scope& root,
                                         const Network& network, bool causal);
std::unique_ptr<Head> make_pretraining_head(const HeadStyle& style, const Config& config, const Scope& root,
                                            const Network& network);
std::unique_ptr<Head> make_replaced_token_head(const HeadStyle& style, const Config& config, const Scope& root,
                                               const Network& network);
std::unique_ptr<Head> make_sequence_classification_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                        const Network& network);
std::unique_ptr<Head> make_multiple_choice_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                const Network& network);
std::unique_ptr<Head> make_next_sentence_head(const HeadStyle& style, const Config& config, const Scope& root,
                                              const Network& network);
std::unique_ptr<Head> make_token_classification_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                     const Network& network);
std::unique_ptr<Head> make_question_answering_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                   const Network& network);

}  // namespace mica
