#pragma once
// Fill-mask: the words that a masked language model would put in place of [MASK].

#include <initializer_list>
#include <string_view>

#include "mica/models/pipelines/parts.h"

namespace mica {

struct FillMaskOptions {
  int64_t top_k = 5;
  /// Only these words compete (their scores stay those among the whole vocabulary). A word that is no token stands for
  /// the first token of it, with a warning.
  std::vector<std::string> targets = {};
  int64_t batch_size = 32;
  Progress progress = {};
};

struct Fill {
  std::string sequence;  ///< the text with the word in place
  float score = 0;
  int64_t token = 0;
  std::string token_str;
};

class FillMaskPipeline {
 public:
  /// Throws Error for a tokenizer without a mask token.
  explicit FillMaskPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  FillMaskPipeline(Model model, Tokenizer tokenizer);

  /// For each mask of the text its top_k words, best first. Throws Error for a text without a mask.
  std::vector<std::vector<Fill>> operator()(std::string_view text, const FillMaskOptions& options = {}) const;
  /// The same for each text, in the order of the texts.
  std::vector<std::vector<std::vector<Fill>>> operator()(const std::vector<std::string>& texts,
                                                         const FillMaskOptions& options = {}) const;
  std::vector<std::vector<std::vector<Fill>>> operator()(std::initializer_list<std::string_view> texts,
                                                         const FillMaskOptions& options = {}) const {
    return (*this)(std::vector<std::string>(texts.begin(), texts.end()), options);
  }

  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

 private:
  std::vector<int64_t> target_ids(const std::vector<std::string>& targets) const;
  PipelineParts parts_;
};

std::string to_json(const Fill& fill);
/// A list for a text with one mask, else a list of lists.
std::string to_json(const std::vector<std::vector<Fill>>& masks);

}  // namespace mica
