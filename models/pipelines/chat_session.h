#pragma once
// A chat with a causal language model, turn by turn. What the model has read already is not run again.

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
#include "mica/models/generation/model_session.h"
#include "mica/models/modules/cache_quantization.h"
#include "mica/models/pipelines/parts.h"
#include "mica/tokenizers/chat/chat_template.h"

namespace mica {

struct ChatTurnOptions {
  GenerationConfig generation = {};  ///< over the model's settings; without a limit, to the end of the context
  std::function<void(std::string_view text)> on_text = {};  ///< the answer as it comes (not of beam search)
  const std::atomic<bool>* interrupt = nullptr;             ///< true ends the answer where it is
  ChatTemplateOptions chat = {};                            ///< template, tools, variables
  const TokenConstraint* constraint = nullptr;              ///< a rule that the answer keeps, which each starts anew
};

struct ChatAnswer {
  std::string text;
  FinishReason finish = FinishReason::length;
  int64_t prompt_tokens = 0;  ///< of the whole conversation, as the template writes it
  int64_t reused_tokens = 0;  ///< of those, how many the model had read in earlier turns
  int64_t new_tokens = 0;
  int64_t dropped_messages = 0;  ///< oldest ones that the context had no room for; they stay in messages()
};

class ChatSession {
 public:
  /// Throws Error for a tokenizer without a chat template unless `chat_template` gives one (the text of a template).
  ChatSession(Model model, Tokenizer tokenizer, std::optional<std::string> chat_template = {});

  /// The answer to a user's message. Both are kept in messages(); when this throws, neither is.
  ///
  /// Where the conversation fills the context, its oldest turns are left out of what the model reads, but for the
  /// system message. Throws Error when the last message alone has no room.
  ChatAnswer send(const std::string& message, const ChatTurnOptions& options = {});
  /// Another answer in place of the last one. Throws Error when there is none.
  ChatAnswer regenerate(const ChatTurnOptions& options = {});

  /// Role and content of all that was said, the system message included.
  const std::vector<ChatMessage>& messages() const { return messages_; }
  /// Replaces the conversation: system message first, if any.
  void set_messages(std::vector<ChatMessage> messages) { messages_ = std::move(messages); }
  std::optional<std::string> system() const;
  /// Sets the system message, or takes it away.
  void set_system(const std::optional<std::string>& text);
  /// Forgets all but the system message.
  void clear();

  /// [{"role": ..., "content": ...}, ...] and back; throws Error, naming `where`, for anything else.
  std::string to_json() const;
  static std::vector<ChatMessage> messages_from_json(std::string_view text, const std::string& where = "messages");

  const Model& model() const { return model_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  ChatAnswer answer(const ChatTurnOptions& options);
  std::vector<int64_t> encode(const std::vector<ChatMessage>& messages, const ChatTemplateOptions& options) const;
  std::vector<int64_t> fitting(const ChatTurnOptions& options, const GenerationConfig& config, int64_t* dropped) const;
  int64_t reuse(const std::vector<int64_t>& prompt, const std::optional<CacheQuantization>& quantization);

  Model model_;
  Tokenizer tokenizer_;
  std::vector<ChatMessage> messages_;
  std::unique_ptr<ModelSession> session_;
  std::optional<CacheQuantization> quantization_;  // of the session's cache
  std::vector<int64_t> read_;                      // tokens that the session holds
};

}  // namespace mica
