#pragma once
// Zero-shot classification: labels that a model never saw, each put to a model of natural language inference as a
// hypothesis about the text (Yin et al. 2019, "Benchmarking Zero-shot Text Classification").

#include <string>
#include <string_view>
#include <vector>

#include "mica/models/pipelines/parts.h"

namespace mica {

/// Labels, the likeliest first, and their scores.
struct ZeroShotResult {
  std::string sequence;
  std::vector<std::string> labels;
  std::vector<float> scores;
};

struct ZeroShotOptions {
  /// "{}" (or "{0}") stands for the label; "{{" and "}}" for braces.
  std::string hypothesis_template = "This example is {}.";
  /// Labels don't exclude each other: each score is that of entailment against contradiction. Else scores add to 1.
  bool multi_label = false;
  int64_t batch_size = 32;
  Progress progress = {};
};

class ZeroShotClassificationPipeline {
 public:
  explicit ZeroShotClassificationPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  ZeroShotClassificationPipeline(Model model, Tokenizer tokenizer);

  /// Throws Error for no labels, and for a template without a place for the label. A text too long for the model is
  /// cut; a hypothesis is not.
  ZeroShotResult operator()(std::string_view text, const std::vector<std::string>& candidate_labels,
                            const ZeroShotOptions& options = {}) const;
  std::vector<ZeroShotResult> operator()(const std::vector<std::string>& texts,
                                         const std::vector<std::string>& candidate_labels,
                                         const ZeroShotOptions& options = {}) const;

  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

 private:
  PipelineParts parts_;
};

/// What lies between commas, without the spaces around it; empty parts are none.
std::vector<std::string> split_labels(std::string_view labels);

std::string to_json(const ZeroShotResult& result);

}  // namespace mica
