#pragma once
// Translation: texts of one language in another.
//
//   TranslationPipeline translator = pipeline("translation_en_to_de", "t5-small");
//   TranslationPipeline many("facebook/nllb-200-distilled-600M");
//   many("Hello", {.src_lang = "eng_Latn", .tgt_lang = "deu_Latn"});

#include <string_view>

#include "mica/models/pipelines/generation_parts.h"

namespace mica {

struct TranslationOptions {
  /// As the model spells them ("en_XX", "eng_Latn", "en"); needed for models that know more than one pair.
  std::optional<std::string> src_lang = {}, tgt_lang = {};
  GenerationConfig generation = {};        ///< over the settings of the model and of its task
  std::optional<std::string> prefix = {};  ///< before each text; default: the task's in config.json
  GenerationExtras extras = {};
  int64_t batch_size = 8;
  Progress progress = {};
};

struct Translation {
  std::string translation_text;
};

/// Languages are told to a model in one of these ways, whichever its folder shows: a task translation_A_to_B in
/// config.json whose prefix goes before the text; tokens of languages (en_XX, eng_Latn, __en__), the source's among the
/// text's special tokens and the target's forced as the first new token; a token of the target before the text
/// (>>deu<<, <2de>).
class TranslationPipeline {
 public:
  /// `task`: "translation", or "translation_A_to_B", whose languages are those of calls that name none.
  explicit TranslationPipeline(const std::string& name_or_folder, const PipelineOptions& options = {},
                               std::string_view task = "translation");
  TranslationPipeline(Model model, Tokenizer tokenizer, std::string_view task = "translation");

  std::vector<Translation> operator()(std::string_view text, const TranslationOptions& options = {}) const;
  std::vector<std::vector<Translation>> operator()(const std::vector<std::string>& texts,
                                                   const TranslationOptions& options = {}) const;

  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

 private:
  PipelineParts parts_;
  std::optional<std::string> src_lang_, tgt_lang_;
};

/// [{"translation_text": ...}]
std::string to_json(const std::vector<Translation>& texts);

}  // namespace mica
