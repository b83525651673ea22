#include "mica/tokenizers/chat/render_inputs.h"

#include <algorithm>
#include <array>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/split.h"
#include "mica/tokenizers/utf8.h"

namespace mica::rendering {
namespace {

// Stands behind the final message while the template runs. With a space at its end, so that a template that trims its
// messages is told from one that does not. The text is the reference's: a template may look at a message's length.
constexpr std::string_view kMark = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr std::string_view kMarkTrimmed = "CONTINUE_FINAL_MESSAGE_TAG";

// The names under which a message's reasoning is passed; templates of today read the first.
constexpr std::array<const char*, 3> kReasoning = {"reasoning_content", "thinking", "reasoning"};

std::string valid(const std::string& text) {
  std::string storage;
  return std::string(utf8::valid(text, storage));
}

Json parse_option(const std::string& text, const char* name, bool array) {
  Json json = parse_json(text, name);
  if (array ? !json.is_array() : !json.is_object()) {
    throw Error(std::string("not a JSON ") + (array ? "array" : "object"), name, "mend the option");
  }
  for (const Json& each : json) {
    if (array && !each.is_object()) throw Error("an element is no JSON object", name, "give an array of objects");
  }
  return json;
}

Json read_messages(const Conversation& conversation) {
  Json messages = Json::array();
  if (conversation.json()) {
    messages = parse_json(*conversation.json(), conversation.where());
    if (!messages.is_array())
      throw Error("not a JSON array of messages", conversation.where(), "give an array of objects");
  }
  for (const ChatMessage& message : conversation.messages()) {
    Json json = {{"role", valid(message.role)}, {"content", valid(message.content)}};
    if (!message.fields.empty()) {
      const Json fields = parse_option(message.fields, "fields of a message", false);
      for (const auto& [key, value] : fields.items()) json[key] = value;
    }
    messages.push_back(std::move(json));
  }
  if (messages.empty()) throw Error("an empty conversation", conversation.where(), "give at least one message");
  return messages;
}

// As transformers hands a message over: null fields are left out, and reasoning has its usual names.
Json normalized(const Json& message, const std::string& where) {
  if (!message.is_object()) throw Error("a message is no JSON object", where, "give objects with role and content");
  Json result = Json::object();
  const Json* reasoning = nullptr;
  for (const char* name : kReasoning) {
    const auto it = message.find(name);
    if (reasoning == nullptr && it != message.end() && !it->is_null()) reasoning = &*it;
  }
  if (reasoning != nullptr) result["thinking"] = *reasoning;
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) result[key] = value;
  }
  if (reasoning != nullptr) result["reasoning_content"] = *reasoning;
  return result;
}

// Marks the end of the text that is to go on; returns that text.
std::string mark_final_message(Json& message, const std::string& field, const std::string& source) {
  const auto fail = [&](const std::string& problem) {
    throw Error("continue_final_message: " + problem, "messages", "give a last message with text in \"" + field + "\"");
  };
  const auto it = message.find(field);
  if (it == message.end()) fail("the final message has no \"" + printable(field, 40) + "\"");
  const Json content = *it;
  std::vector<std::string> fields{field};
  if (std::find(kReasoning.begin(), kReasoning.end(), field) != kReasoning.end()) {
    fields.clear();
    for (const char* name : kReasoning) {
      if (message.contains(name) && message[name] == content) fields.emplace_back(name);
    }
  }
  if (std::none_of(fields.begin(), fields.end(), [&](const auto& name) { return source.find(name) != source.npos; })) {
    fail("the template does not read \"" + printable(field, 40) + "\"");
  }
  if (content.is_array()) {
    Json& blocks = message[field];
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
      if (!block->is_object() || !block->contains("text") || !(*block)["text"].is_string()) continue;
      const auto text = (*block)["text"].get<std::string>();
      (*block)["text"] = text + std::string(kMark);
      return text;
    }
    fail("the final message has no text to go on with");
  }
  if (!content.is_string()) fail("the final message has no text to go on with");
  const auto text = content.get<std::string>();
  for (const std::string& name : fields) message[name] = text + std::string(kMark);
  return text;
}

}  // namespace

Inputs render_inputs(const Conversation& conversation, const ChatTemplateOptions& options,
                     const std::vector<std::pair<std::string, std::string>>& special_tokens,
                     const std::string& source) {
  if (options.continue_final_message && options.add_generation_prompt) {
    throw Error("continue_final_message together with add_generation_prompt", "chat template options",
                "choose one: go on with the last message, or start a new one");
  }
  Inputs inputs;
  Json messages = Json::array();
  for (const Json& message : read_messages(conversation)) messages.push_back(normalized(message, conversation.where()));
  if (options.continue_final_message) {
    inputs.final_text = mark_final_message(messages.back(), options.continue_field, source);
  }
  Json& variables = inputs.variables = Json::object();
  for (const auto& [name, token] : special_tokens) variables[name] = valid(token);
  if (!options.variables.empty()) {
    const Json further = parse_option(options.variables, "variables", false);
    for (const auto& [key, value] : further.items()) {
      for (const char* reserved : {"messages", "tools", "documents", "add_generation_prompt"}) {
        if (key == reserved)
          throw Error("\"" + key + "\" is no further variable", "variables", "use the option of that name");
      }
      variables[key] = value;
    }
  }
  variables["messages"] = std::move(messages);
  variables["tools"] = options.tools.empty() ? Json(nullptr) : parse_option(options.tools, "tools", true);
  variables["documents"] =
      options.documents.empty() ? Json(nullptr) : parse_option(options.documents, "documents", true);
  variables["add_generation_prompt"] = options.add_generation_prompt;
  return inputs;
}

void cut_behind_final_message(const Inputs& inputs, RenderedChat& rendered) {
  std::string& text = rendered.text;
  const std::string trimmed = jinja::strip_text(inputs.final_text, std::nullopt, true, true);
  const size_t mark = text.rfind(kMarkTrimmed);
  if (mark == text.npos || text.find(trimmed) == text.npos) {
    throw Error("continue_final_message: the final message is not in the rendered chat", "messages",
                "the template drops or changes it; give a message that it keeps");
  }
  const bool kept_space = text.compare(mark, kMark.size(), kMark) == 0;
  text.resize(mark);
  if (!kept_space) text = jinja::strip_text(text, std::nullopt, false, true);
}

}  // namespace mica::rendering
