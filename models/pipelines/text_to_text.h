#pragma once
// Text to text: what an encoder-decoder writes for a text; and summarization, which is that with its own settings.

#include <string_view>

#include "mica/models/pipelines/generation_parts.h"

namespace mica {

struct TextToTextOptions {
  GenerationConfig generation = {};        ///< over the settings of the model and of its task
  std::optional<std::string> prefix = {};  ///< before each text; default: the task's in config.json ("summarize: ")
  GenerationExtras extras = {};
  int64_t batch_size = 8;
  Progress progress = {};
};

struct Text2Text {
  std::string generated_text;
};

struct Summary {
  std::string summary_text;
};

/// Texts for texts, as ids: what these pipelines share.
class TextToText {
 public:
  TextToText(PipelineParts parts, std::string task);

  const PipelineParts& parts() const { return parts_; }
  /// num_return_sequences texts for each. Texts longer than the encoder takes are cut, with one warning.
  std::vector<std::vector<std::string>> run(const std::vector<std::string>& texts,
                                            const TextToTextOptions& options) const;

 private:
  PipelineParts parts_;
  std::string task_;
};

class Text2TextGenerationPipeline {
 public:
  explicit Text2TextGenerationPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  Text2TextGenerationPipeline(Model model, Tokenizer tokenizer);

  std::vector<Text2Text> operator()(std::string_view text, const TextToTextOptions& options = {}) const;
  std::vector<std::vector<Text2Text>> operator()(const std::vector<std::string>& texts,
                                                 const TextToTextOptions& options = {}) const;

  const Model& model() const { return core_.parts().model; }
  const Tokenizer& tokenizer() const { return core_.parts().tokenizer; }

 private:
  TextToText core_;
};

class SummarizationPipeline {
 public:
  explicit SummarizationPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  SummarizationPipeline(Model model, Tokenizer tokenizer);

  std::vector<Summary> operator()(std::string_view text, const TextToTextOptions& options = {}) const;
  std::vector<std::vector<Summary>> operator()(const std::vector<std::string>& texts,
                                               const TextToTextOptions& options = {}) const;

  const Model& model() const { return core_.parts().model; }
  const Tokenizer& tokenizer() const { return core_.parts().tokenizer; }

 private:
  TextToText core_;
};

/// [{"generated_text": ...}], [{"summary_text": ...}].
std::string to_json(const std::vector<Text2Text>& texts);
std::string to_json(const std::vector<Summary>& texts);

}  // namespace mica
