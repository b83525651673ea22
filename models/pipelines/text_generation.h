#pragma once
// Text generation: prompts, or chats, and how a causal language model goes on.
//
//   TextGenerationPipeline storyteller = pipeline("text-generation", "gpt2");
//   std::string story = storyteller("Once upon a time", {.generation = {.max_new_tokens = 50}})[0].generated_text;

#include <string_view>

#include "mica/models/pipelines/generation_parts.h"
#include "mica/tokenizers/chat/chat_template.h"

namespace mica {

struct GeneratedText {
  std::string generated_text;
  /// Of a chat with return_full_text: all its messages, the answer the last, as a JSON array. Else empty.
  std::string messages = {};
  FinishReason finish = FinishReason::length;
};

struct TextGenerationOptions {
  GenerationConfig generation = {};  ///< over the model's own settings; without any limit, 256 new tokens
  bool return_full_text = true;      ///< the prompt, or the chat's messages, before what is new
  bool skip_special_tokens = true;
  ChatTemplateOptions chat = {};  ///< of chats; add_generation_prompt and continue_final_message follow from the chat
  GenerationExtras extras = {};
  int64_t batch_size = 8;
  Progress progress = {};
};

class TextGenerationPipeline {
 public:
  explicit TextGenerationPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  TextGenerationPipeline(Model model, Tokenizer tokenizer);

  /// num_return_sequences texts for each prompt. A text that was interrupted before it began is missing.
  std::vector<GeneratedText> operator()(std::string_view prompt, const TextGenerationOptions& options = {}) const;
  std::vector<std::vector<GeneratedText>> operator()(const std::vector<std::string>& prompts,
                                                     const TextGenerationOptions& options = {}) const;
  /// The assistant's answers to a chat, as the model's template writes it. Where the assistant spoke last, its message
  /// is continued.
  std::vector<GeneratedText> operator()(const Conversation& chat, const TextGenerationOptions& options = {}) const;
  std::vector<std::vector<GeneratedText>> operator()(const std::vector<Conversation>& chats,
                                                     const TextGenerationOptions& options = {}) const;

  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

 private:
  PipelineParts parts_;
};

/// [{"generated_text": ...}]; of a chat the messages stand there.
std::string to_json(const GeneratedText& text);
std::string to_json(const std::vector<GeneratedText>& texts);

}  // namespace mica
