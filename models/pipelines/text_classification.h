#pragma once
// Text classification: labels for a text, or for a pair of texts.

#include <initializer_list>
#include <optional>
#include <string_view>

#include "mica/models/pipelines/parts.h"

namespace mica {

struct LabelScore {
  std::string label;
  float score = 0;
};

/// What turns logits into scores. Automatic: none for regression, sigmoid for several labels at once or a single one,
/// softmax otherwise.
enum class ScoreFunction : uint8_t { automatic, softmax, sigmoid, none };

/// "softmax", "sigmoid" or "none"; throws Error for another name.
ScoreFunction score_function_from_name(std::string_view name);

struct TextClassificationOptions {
  std::optional<int64_t> top_k = 1;  ///< labels given back, best first; all when empty
  ScoreFunction function_to_apply = ScoreFunction::automatic;
  int64_t batch_size = 32;
  Progress progress = {};
};

struct TextPair {
  std::string text, pair;
};

class TextClassificationPipeline {
 public:
  explicit TextClassificationPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  TextClassificationPipeline(Model model, Tokenizer tokenizer);

  std::vector<LabelScore> operator()(std::string_view text, const TextClassificationOptions& options = {}) const;
  std::vector<LabelScore> operator()(const TextPair& pair, const TextClassificationOptions& options = {}) const;
  /// One list a text, in the order of the texts.
  std::vector<std::vector<LabelScore>> operator()(const std::vector<std::string>& texts,
                                                  const TextClassificationOptions& options = {}) const;
  std::vector<std::vector<LabelScore>> operator()(const std::vector<TextPair>& pairs,
                                                  const TextClassificationOptions& options = {}) const;
  std::vector<std::vector<LabelScore>> operator()(std::initializer_list<std::string_view> texts,
                                                  const TextClassificationOptions& options = {}) const {
    return (*this)(std::vector<std::string>(texts.begin(), texts.end()), options);
  }

  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

 private:
  std::vector<std::vector<LabelScore>> run(std::span<const std::string_view> texts,
                                           std::span<const std::string_view> pairs,
                                           const TextClassificationOptions& options) const;
  PipelineParts parts_;
};

std::string to_json(const LabelScore& result);
std::string to_json(const std::vector<LabelScore>& results);

}  // namespace mica
