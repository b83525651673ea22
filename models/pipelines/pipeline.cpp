#include "mica/models/pipelines/pipeline.h"

#include <type_traits>

#include "mica/base/error.h"

namespace mica {

std::string PipelineResult::to_json() const {
  return std::visit(
      [](const auto& result) {
        using Result = std::remove_cvref_t<decltype(result)>;
        if constexpr (std::is_same_v<Result, Tensor>) {
          return features_to_json(result);
        } else if constexpr (std::is_same_v<Result, std::vector<Answer>>) {
          return result.size() == 1 ? mica::to_json(result[0]) : mica::to_json(result);
        } else {
          return mica::to_json(result);
        }
      },
      value);
}

PipelineResult Pipeline::operator()(std::string_view text) const {
  return (*this)(std::vector<std::string>{std::string(text)})[0];
}

std::vector<PipelineResult> Pipeline::operator()(const std::vector<std::string>& texts) const {
  return std::visit(
      [&](const auto& typed) -> std::vector<PipelineResult> {
        using Typed = std::remove_cvref_t<decltype(typed)>;
        if constexpr (std::is_same_v<Typed, QuestionAnsweringPipeline>) {
          throw Error("one text for question answering", task_, "give a question and a context");
        } else if constexpr (std::is_same_v<Typed, ZeroShotClassificationPipeline>) {
          throw Error("no candidate labels", task_, "give a text and labels, separated by commas");
        } else {
          std::vector<PipelineResult> results;
          for (auto& each : typed(texts)) results.push_back({std::move(each)});
          return results;
        }
      },
      pipeline_);
}

PipelineResult Pipeline::operator()(std::string_view first, std::string_view second) const {
  if (const auto* answers = std::get_if<QuestionAnsweringPipeline>(&pipeline_)) return {(*answers)(first, second)};
  if (const auto* labels = std::get_if<TextClassificationPipeline>(&pipeline_)) {
    return {(*labels)(TextPair{std::string(first), std::string(second)})};
  }
  if (const auto* any = std::get_if<ZeroShotClassificationPipeline>(&pipeline_))
    return {(*any)(first, split_labels(second))};
  throw Error("two texts", task_, "give one text");
}

void Pipeline::refuse_type() const {
  throw Error("a pipeline for " + task_ + " is taken for one of another task", "pipeline",
              "name the class that belongs to the task");
}

Pipeline pipeline(std::string_view task, const std::string& name_or_folder, const PipelineOptions& options) {
  const std::string name(task);
  if (task == "text-classification" || task == "sentiment-analysis") {
    return {name, TextClassificationPipeline(name_or_folder, options)};
  }
  if (task == "token-classification" || task == "ner") {
    return {name, TokenClassificationPipeline(name_or_folder, options)};
  }
  if (task == "question-answering") return {name, QuestionAnsweringPipeline(name_or_folder, options)};
  if (task == "fill-mask") return {name, FillMaskPipeline(name_or_folder, options)};
  if (task == "feature-extraction") return {name, FeatureExtractionPipeline(name_or_folder, options)};
  if (task == "text-generation") return {name, TextGenerationPipeline(name_or_folder, options)};
  if (task == "text2text-generation") return {name, Text2TextGenerationPipeline(name_or_folder, options)};
  if (task == "summarization") return {name, SummarizationPipeline(name_or_folder, options)};
  if (task.starts_with("translation")) return {name, TranslationPipeline(name_or_folder, options, task)};
  if (task == "zero-shot-classification") return {name, ZeroShotClassificationPipeline(name_or_folder, options)};
  throw Error("unknown task \"" + printable(task) + "\"", "pipeline",
              "use feature-extraction, text-classification, token-classification, question-answering, fill-mask, "
              "text-generation, text2text-generation, summarization, translation or zero-shot-classification");
}

}  // namespace mica
