#pragma once
// pipeline("text-classification", "model"): any pipeline by its task's name.
//
//   TextClassificationPipeline classifier = pipeline("text-classification", "model");   // typed results
//   auto tagger = pipeline("token-classification", "model");                            // results as a variant
//   std::cout << tagger("Ada lives in Turin").to_json();

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mica/models/pipelines/feature_extraction.h"
#include "mica/models/pipelines/fill_mask.h"
#include "mica/models/pipelines/question_answering.h"
#include "mica/models/pipelines/text_classification.h"
#include "mica/models/pipelines/text_generation.h"
#include "mica/models/pipelines/text_to_text.h"
#include "mica/models/pipelines/token_classification.h"
#include "mica/models/pipelines/translation.h"
#include "mica/models/pipelines/zero_shot_classification.h"

namespace mica {

/// What a pipeline of any task gives for one input.
struct PipelineResult {
  std::variant<std::vector<LabelScore>, std::vector<Entity>, std::vector<Answer>, std::vector<std::vector<Fill>>,
               Tensor, std::vector<GeneratedText>, std::vector<Text2Text>, std::vector<Summary>,
               std::vector<Translation>, ZeroShotResult>
      value;

  template <typename T>
  const T& get() const {
    return std::get<T>(value);
  }
  /// As the reference's pipelines write it.
  std::string to_json() const;
};

class Pipeline {
 public:
  using Any =
      std::variant<TextClassificationPipeline, TokenClassificationPipeline, QuestionAnsweringPipeline, FillMaskPipeline,
                   FeatureExtractionPipeline, TextGenerationPipeline, Text2TextGenerationPipeline,
                   SummarizationPipeline, TranslationPipeline, ZeroShotClassificationPipeline>;

  Pipeline(std::string task, Any pipeline) : task_(std::move(task)), pipeline_(std::move(pipeline)) {}

  const std::string& task() const { return task_; }

  /// One text, or several, with the task's own defaults; Error for question answering and zero-shot classification,
  /// which take two texts.
  PipelineResult operator()(std::string_view text) const;
  std::vector<PipelineResult> operator()(const std::vector<std::string>& texts) const;
  /// A question and its context, a text and its pair, or a text and its candidate labels, separated by commas.
  PipelineResult operator()(std::string_view first, std::string_view second) const;

  /// The typed pipeline; throws Error when the task is another one.
  template <typename Typed>
  requires requires(const Any& any) { std::get_if<Typed>(&any); }
  operator Typed() const {
    if (const Typed* typed = std::get_if<Typed>(&pipeline_)) return *typed;
    refuse_type();
  }

 private:
  [[noreturn]] void refuse_type() const;
  std::string task_;
  Any pipeline_;
};

/// Tasks: "feature-extraction", "text-classification" ("sentiment-analysis"), "token-classification" ("ner"),
/// "question-answering", "fill-mask", "text-generation", "text2text-generation", "summarization", "translation",
/// "translation_A_to_B", "zero-shot-classification". Throws Error for another name, and for a folder that does not
/// open.
Pipeline pipeline(std::string_view task, const std::string& name_or_folder, const PipelineOptions& options = {});

}  // namespace mica
