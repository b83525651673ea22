#pragma once
// What several heads share.

#include "mica/models/heads/head.h"

namespace mica {

/// Throws Error when labels came with a ragged batch, whose per-token labels have no agreed shape.
void refuse_ragged_labels(const Rows& rows, const Tensor& labels);

/// Labels int64, flat, on the device of the logits.
Tensor flat_labels(const Tensor& labels, int64_t expected, const char* name);

class LanguageHead {
 public:
  LanguageHead(const LanguageStyle& style, const Config& config, const Scope& root, const Encoder& encoder);
  /// logits [rows, vocab_size] of hidden [rows, hidden_size].
  Tensor operator()(const Tensor& hidden) const;

 private:
  Linear dense_, decoder_;
  LayerNorm norm_;
  Activation activation_ = Activation::gelu;
};

class SentenceHead {
 public:
  SentenceHead(const SentenceStyle& style, const Config& config, const Scope& root, const Encoder& encoder,
               int64_t outputs);
  /// [batch, outputs].
  Tensor operator()(const Encoder& encoder, const Tensor& hidden, const Rows& rows) const;

 private:
  bool from_pooler_;
  Activation activation_;
  double dropout_;
  Linear dense_, classifier_;
};

/// The dropout before a classifier: classifier_dropout, or the config's own spelling, or that of hidden states.
double classifier_dropout(const Config& config);

std::unique_ptr<Head> make_language_head(const HeadStyle& style, const Config& config, const Scope& root,
                                         const Encoder& encoder, bool causal);
std::unique_ptr<Head> make_pretraining_head(const HeadStyle& style, const Config& config, const Scope& root,
                                            const Encoder& encoder);
std::unique_ptr<Head> make_replaced_token_head(const HeadStyle& style, const Config& config, const Scope& root,
                                               const Encoder& encoder);
std::unique_ptr<Head> make_sequence_classification_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                        const Encoder& encoder);
std::unique_ptr<Head> make_multiple_choice_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                const Encoder& encoder);
std::unique_ptr<Head> make_next_sentence_head(const HeadStyle& style, const Config& config, const Scope& root,
                                              const Encoder& encoder);
std::unique_ptr<Head> make_token_classification_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                     const Encoder& encoder);
std::unique_ptr<Head> make_question_answering_head(const HeadStyle& style, const Config& config, const Scope& root,
                                                   const Encoder& encoder);

}  // namespace mica
