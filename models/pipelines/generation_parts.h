#pragma once
// What the pipelines that generate text have in common: settings of a task, and batches of prompts run to texts.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/models/generation/constraint.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/prompts.h"
#include "mica/models/pipelines/parts.h"

namespace mica {

/// What a call may be given besides settings; all of it has to outlive the call.
struct GenerationExtras {
  /// New text of an input as it comes, whole characters each time. Not for several texts an input, nor beam search.
  std::function<void(size_t input, std::string_view text)> on_text = {};
  /// Looked at in each step; true ends all texts where they are.
  const std::atomic<bool>* interrupt = nullptr;
  /// What texts are held to; each text starts with a clone.
  const TokenConstraint* constraint = nullptr;
  /// A smaller model with the same vocabulary that drafts (assisted decoding).
  std::optional<Model> assistant = {};
};

/// One text as ids: what came before, and what is new.
struct GeneratedIds {
  std::vector<int64_t> prompt, tokens;
  FinishReason finish = FinishReason::length;
};

/// Settings for a task: the model's own, those of config.json's task_specific_params, the tokenizer's end and padding
/// tokens where the model names none; and the text that goes before each input.
struct TaskSettings {
  GenerationConfig generation;
  std::string prefix;
  /// Whether task_specific_params has the task.
  bool named = false;
};
TaskSettings task_settings(const PipelineParts& parts, std::string_view task);

/// The keys of config.json's task_specific_params.
std::vector<std::string> task_names(const Config& config);

/// Texts as rows of ids with the tokenizer's special tokens; Error for what is not UTF-8.
Prompts encode_prompts(const Tokenizer& tokenizer, const std::vector<std::string>& texts);

/// Runs prompts (what the encoder reads, of an encoder-decoder) in batches: num_return_sequences results for each.
std::vector<std::vector<GeneratedIds>> generate_batches(const PipelineParts& parts, const Prompts& prompts,
                                                        const GenerationConfig& config, const GenerationExtras& extras,
                                                        int64_t batch_size, const Progress& progress);

}  // namespace mica
