#include "mica/models/pipelines/chat_session.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/cache_settings.h"
#include "mica/models/generation/text_streamer.h"
#include "mica/models/pipelines/generation_parts.h"
#include "mica/models/pipelines/json_writer.h"

namespace mica {
namespace {

constexpr int64_t kUnbounded = 4096;  // new tokens of an answer where the model has no context's end
constexpr int64_t kRoom = 64;         // tokens that an answer shall have room for, if the context allows
constexpr int64_t kReserved = 1024;   // tokens for which room is made at first

bool is_system(const std::vector<ChatMessage>& messages) {
  return !messages.empty() && messages.front().role == "system";
}

}  // namespace

ChatSession::ChatSession(Model model, Tokenizer tokenizer, std::optional<std::string> chat_template)
    : model_(std::move(model)), tokenizer_(std::move(tokenizer)) {
  model_.generation_config();  // an Error for a model that generates nothing
  if (model_.network().shape().encoder_decoder) {
    throw Error("a chat with an encoder-decoder", "chat", "open a causal language model");
  }
  if (chat_template) tokenizer_.set_chat_template(*chat_template);
  if (tokenizer_.chat_template_names().empty()) {
    throw Error("the model has no chat template", "tokenizer_config.json",
                "take a model that was trained to chat, or give a template");
  }
}

std::optional<std::string> ChatSession::system() const {
  return is_system(messages_) ? std::optional(messages_.front().content) : std::nullopt;
}

void ChatSession::set_system(const std::optional<std::string>& text) {
  if (is_system(messages_)) messages_.erase(messages_.begin());
  if (text) messages_.insert(messages_.begin(), {"system", *text});
}

void ChatSession::clear() {
  messages_.resize(is_system(messages_) ? 1 : 0);
}

ChatAnswer ChatSession::send(const std::string& message, const ChatTurnOptions& options) {
  const std::string_view view = message;
  check_texts(std::span(&view, 1), "message");
  messages_.push_back({"user", message});
  try {
    return answer(options);
  } catch (...) {
    messages_.pop_back();
    throw;
  }
}

ChatAnswer ChatSession::regenerate(const ChatTurnOptions& options) {
  if (messages_.empty() || messages_.back().role != "assistant") {
    throw Error("no answer to replace", "chat", "say something first");
  }
  const ChatMessage last = messages_.back();
  messages_.pop_back();
  try {
    return answer(options);
  } catch (...) {
    messages_.push_back(last);
    throw;
  }
}

std::vector<int64_t> ChatSession::encode(const std::vector<ChatMessage>& messages,
                                         const ChatTemplateOptions& options) const {
  ChatTemplateOptions call = options;
  call.add_generation_prompt = true;
  const ChatEncoding encoding = tokenizer_.encode_chat(Conversation(messages), call);
  return {encoding.input_ids[0].begin(), encoding.input_ids[0].end()};
}

// The conversation's ids; where they leave no room for an answer, without its oldest turns. A turn is a user's message
// and what follows up to the next one.
std::vector<int64_t> ChatSession::fitting(const ChatTurnOptions& options, const GenerationConfig& config,
                                          int64_t* dropped) const {
  const int64_t context = model_.max_tokens();
  std::vector<int64_t> ids = encode(messages_, options.chat);
  if (context <= 0) return ids;
  const int64_t room = context + 1 - std::min({config.max_new_tokens.value_or(kRoom), kRoom, context / 2});
  const size_t first = is_system(messages_) ? 1 : 0;
  std::vector<ChatMessage> kept = messages_;
  while (static_cast<int64_t>(ids.size()) > room) {
    size_t next = first + 1;
    while (next < kept.size() && kept[next].role != "user") ++next;
    if (next >= kept.size()) {
      // What is left is the last turn: it may use up all but one token of the context.
      if (static_cast<int64_t>(ids.size()) <= context) break;
      throw Error("the message has " + std::to_string(ids.size()) +
                      " tokens with what the template adds, the model's context " + std::to_string(context),
                  "chat", "shorten the message or the system message");
    }
    kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(first), kept.begin() + static_cast<std::ptrdiff_t>(next));
    ids = encode(kept, options.chat);
  }
  *dropped = static_cast<int64_t>(messages_.size() - kept.size());
  return ids;
}

// Leaves in the session what it shares with the prompt; returns how many tokens that is.
int64_t ChatSession::reuse(const std::vector<int64_t>& prompt, const std::optional<CacheQuantization>& quantization) {
  const auto same = std::mismatch(read_.begin(), read_.end(), prompt.begin(), prompt.end()).first - read_.begin();
  // The last token is run again in any case: the answer begins with its scores.
  const int64_t shared = std::min<int64_t>(same, static_cast<int64_t>(prompt.size()) - 1);
  if (session_ == nullptr || shared == 0 || quantization != quantization_) {
    const int64_t context = model_.max_tokens();
    const int64_t wanted = static_cast<int64_t>(prompt.size()) + kReserved;
    session_ = std::make_unique<ModelSession>(model_, ModelInputs{}, 1,
                                              context > 0 ? std::min(context, wanted) : wanted, quantization);
    quantization_ = quantization;
    read_.clear();
    return 0;
  }
  session_->truncate(0, shared);
  read_.resize(static_cast<size_t>(shared));
  return shared;
}

ChatAnswer ChatSession::answer(const ChatTurnOptions& options) {
  const TaskSettings settings = task_settings({model_, tokenizer_}, "text-generation");
  GenerationConfig config = settings.generation.with(options.generation);
  config.num_return_sequences = 1;
  ChatAnswer result;
  const std::vector<int64_t> prompt = fitting(options, config, &result.dropped_messages);
  if (prompt.empty()) throw Error("the template writes nothing", "chat", "mend the chat template");
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  // Not the file's limit of prompt and text together, which a chat soon reaches.
  const int64_t context = model_.max_tokens();
  const int64_t room = context > 0 ? context + 1 - result.prompt_tokens : kUnbounded;
  const bool limited = options.generation.max_length && !config.max_new_tokens;
  if (!limited) config.max_new_tokens = std::min(config.max_new_tokens.value_or(room), room);
  config.validate();
  const bool streams = options.on_text && config.num_beams.value_or(1) == 1;

  GenerationHooks hooks;
  hooks.interrupt = options.interrupt;
  if (options.constraint != nullptr) hooks.constraints = {options.constraint};
  hooks.decode = [&](std::span<const int64_t> ids) { return tokenizer_.decode(ids); };
  std::optional<TextStreamer> streamer;
  if (streams) {
    hooks.streamer =
        &streamer.emplace(tokenizer_, Prompts{prompt}, [&](int64_t, std::string_view text) { options.on_text(text); });
  }
  try {
    result.reused_tokens = reuse(prompt, cache_quantization(config));
    const GenerationOutput output = generate(*session_, {prompt}, config, hooks);
    const std::vector<int64_t>& tokens = output.tokens[0];
    result.text = continuation(tokenizer_, prompt, tokens);
    result.new_tokens = static_cast<int64_t>(tokens.size());
    result.finish = output.finish[0];
    if (session_->batch() == 1 && config.num_beams.value_or(1) == 1) {
      read_ = prompt;
      read_.insert(read_.end(), tokens.begin(), tokens.end());
      read_.resize(std::min(read_.size(), static_cast<size_t>(session_->length(0))));
    } else {
      session_.reset();
    }
  } catch (...) {
    session_.reset();
    throw;
  }
  if (options.on_text && !streams) options.on_text(result.text);
  messages_.push_back({"assistant", result.text});
  return result;
}

std::string ChatSession::to_json() const {
  JsonWriter json;
  json.begin_array();
  for (const ChatMessage& each : messages_) {
    json.begin_object().key("role").value(each.role).key("content").value(each.content).end_object();
  }
  return json.end_array().text();
}

std::vector<ChatMessage> ChatSession::messages_from_json(std::string_view text, const std::string& where) {
  const Json json = parse_json(text, where);
  if (!json.is_array()) throw Error("no JSON array", where, "messages are an array of objects with role and content");
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < json.size(); ++i) {
    const Json& each = json[i];
    const std::string place = where + ", message " + std::to_string(i);
    if (!each.is_object() || !each.contains("role") || !each.contains("content") || !each["role"].is_string() ||
        !each["content"].is_string()) {
      throw Error("no message", place, "give an object with the strings role and content");
    }
    ChatMessage message{each["role"].get<std::string>(), each["content"].get<std::string>()};
    if (message.role == "system" && i > 0)
      throw Error("a system message that is not the first", place, "move it to the front");
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace mica
