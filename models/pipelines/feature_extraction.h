#pragma once
// Feature extraction: the hidden state of every token.

#include <initializer_list>
#include <string_view>

#include "mica/models/pipelines/parts.h"

namespace mica {

class FeatureExtractionPipeline {
 public:
  explicit FeatureExtractionPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  FeatureExtractionPipeline(Model model, Tokenizer tokenizer);

  /// [tokens, hidden_size] float32 on the host, special tokens included.
  Tensor operator()(std::string_view text, const CallOptions& options = {}) const;
  std::vector<Tensor> operator()(const std::vector<std::string>& texts, const CallOptions& options = {}) const;
  std::vector<Tensor> operator()(std::initializer_list<std::string_view> texts, const CallOptions& options = {}) const {
    return (*this)(std::vector<std::string>(texts.begin(), texts.end()), options);
  }

  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

 private:
  PipelineParts parts_;
};

/// As the reference writes it: [[[...], ...]], a batch of one.
std::string features_to_json(const Tensor& features);

}  // namespace mica
