#pragma once
// Chat templates: messages to the text that a model was trained on. A template is a Jinja program that comes with the
// model; it is untrusted, and runs with bounded steps, memory and depth.

#include <cstdint>
#include <ctime>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/batch_encoding.h"

namespace mica {

/// One message. `fields` holds further keys as a JSON object: {"tool_calls": [...]}, {"name": "search"}; a key there
/// replaces role or content. Messages whose content is no text are given whole, by Conversation::from_json.
struct ChatMessage {
  std::string role;
  std::string content;
  std::string fields = {};
};

/// The messages of one chat.
class Conversation {
 public:
  Conversation(std::vector<ChatMessage> messages) : messages_(std::move(messages)) {}
  Conversation(std::initializer_list<ChatMessage> messages) : messages_(messages) {}
  /// A JSON array of objects, each of them a message. Throws Error, naming `where`, when it is used and is malformed.
  static Conversation from_json(std::string json, std::string where = "messages");

  const std::vector<ChatMessage>& messages() const { return messages_; }
  /// Only where the conversation was given as JSON.
  const std::optional<std::string>& json() const { return json_; }
  const std::string& where() const { return where_; }

 private:
  std::vector<ChatMessage> messages_;
  std::optional<std::string> json_;
  std::string where_ = "messages";
};

/// What a rendering may use. Reaching one of these is an Error that says which.
struct ChatTemplateLimits {
  int64_t max_template_bytes = 1 << 20;
  int64_t max_steps = 50'000'000;  ///< evaluated expressions, visited elements, and 64-byte pieces of text
  int64_t max_memory_bytes = int64_t{512} << 20;
  int64_t max_output_bytes = int64_t{128} << 20;
  int32_t max_calls = 200;  ///< macros inside macros
  int32_t max_depth = 200;  ///< lists and dicts inside each other
};

struct ChatTemplateOptions {
  /// The name of one of the tokenizer's templates, or a template's text. Default: "tool_use" where there are tools and
  /// a template of that name, else "default".
  std::optional<std::string> chat_template = {};
  std::string tools = {};      ///< a JSON array of schemas; empty: none
  std::string documents = {};  ///< a JSON array of objects, usually with title and text; empty: none
  bool add_generation_prompt = false;
  /// The text ends within the last message, so that the model goes on with it.
  bool continue_final_message = false;
  std::string continue_field = "content";  ///< which of the last message's texts is left open
  std::string variables = {};              ///< a JSON object: further variables, which win over special tokens
  std::function<std::tm()> clock = {};     ///< what strftime_now shows; default: the local time
  ChatTemplateLimits limits = {};
};

/// A rendered chat.
struct RenderedChat {
  std::string text;
  /// What stands between {% generation %} and {% endgeneration %}, in code points.
  std::vector<CharSpan> generation_spans;
};

/// A parsed template. Cheap to copy; const methods may be called from several threads at once.
class ChatTemplate {
 public:
  /// Throws Error naming `name` and the line for what is no valid template, is too large, or uses what chat templates
  /// may not (include, import, extends, block).
  static ChatTemplate parse(std::string_view source, std::string name = "chat template",
                            const ChatTemplateLimits& limits = {});

  /// Runs the template with the members of a JSON object as its variables, and nothing else. Throws Error for a
  /// template that fails: template and line, and what raise_exception was given.
  RenderedChat render(std::string_view variables, const ChatTemplateOptions& options = {}) const;

  /// Runs it as transformers does: messages, tools, documents, add_generation_prompt and the rest of the options.
  /// `special_tokens` are further variables, by name ("bos_token").
  RenderedChat apply(const Conversation& conversation, const ChatTemplateOptions& options = {},
                     const std::vector<std::pair<std::string, std::string>>& special_tokens = {}) const;

  const std::string& source() const;
  const std::string& name() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

/// Chats as token ids, with which of them the assistant wrote.
struct ChatEncoding : BatchEncoding {
  std::vector<std::string> texts;
  /// One row a chat, 1 for tokens inside {% generation %}; all 0 for a template without it.
  std::vector<std::vector<int8_t>> assistant_masks;
};

}  // namespace mica
