// Chats: which template, its text, and the ids of that text.

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/chat_template.h"
#include "mica/tokenizers/tokenizer_impl.h"

namespace mica {
namespace {

const std::string* find_template(const ChatTemplates& templates, std::string_view name) {
  const auto same = [&](const auto& known) { return known.first == name; };
  const auto it = std::find_if(templates.begin(), templates.end(), same);
  return it == templates.end() ? nullptr : &it->second;
}

std::string names_of(const ChatTemplates& templates) {
  std::string names;
  for (const auto& [name, text] : templates) names += (names.empty() ? "" : ", ") + printable(name, 60);
  return names;
}

// What options.chat_template asks for: a name, a text, or the usual choice.
ChatTemplate choose_template(const ChatTemplates& templates, const ChatTemplateOptions& options) {
  const auto parse = [&](const std::string& text, const std::string& name) {
    return ChatTemplate::parse(text, "chat template \"" + printable(name, 60) + "\"", options.limits);
  };
  if (options.chat_template) {
    const std::string& wanted = *options.chat_template;
    if (const std::string* text = find_template(templates, wanted)) return parse(*text, wanted);
    if (wanted.find('{') != wanted.npos) return ChatTemplate::parse(wanted, "chat template", options.limits);
    throw Error("no chat template is called \"" + printable(wanted, 60) + "\"", "tokenizer",
                templates.empty() ? "give the text of a template: the tokenizer has none"
                                  : "give one of " + names_of(templates) + ", or the text of a template");
  }
  for (const char* name : {"tool_use", "default"}) {
    if (name == std::string_view("tool_use") && options.tools.empty()) continue;
    if (const std::string* text = find_template(templates, name)) return parse(*text, name);
  }
  if (templates.empty()) {
    throw Error("the tokenizer has no chat template", "tokenizer", "give one in the options: chat_template");
  }
  throw Error("the tokenizer has several chat templates and no default", "tokenizer",
              "name one of " + names_of(templates) + " in the options: chat_template");
}

std::vector<std::pair<std::string, std::string>> named_values(const SpecialTokens& special) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const NamedToken& named : named_special_tokens()) {
    if (const auto& value = special.*named.value) values.emplace_back(named.name, *value);
  }
  return values;
}

// 1 for each token that overlaps a span; tokens and spans are in order.
std::vector<int8_t> mask_of(std::span<const CharSpan> tokens, const std::vector<CharSpan>& spans) {
  std::vector<int8_t> mask(tokens.size(), 0);
  size_t span = 0;
  for (size_t i = 0; i < tokens.size() && span < spans.size(); ++i) {
    while (span < spans.size() && tokens[i].begin >= spans[span].end) ++span;
    if (span < spans.size() && tokens[i].end > spans[span].begin) mask[i] = 1;
  }
  return mask;
}

}  // namespace

std::vector<std::string> Tokenizer::chat_template_names() const {
  std::vector<std::string> names;
  for (const auto& [name, text] : impl_->settings.chat_templates) names.push_back(name);
  return names;
}

std::optional<std::string> Tokenizer::chat_template(std::string_view name) const {
  const std::string* text = find_template(impl_->settings.chat_templates, name);
  return text == nullptr ? std::nullopt : std::optional(*text);
}

void Tokenizer::set_chat_template(std::string text, const std::string& name) {
  ChatTemplates& templates = mutable_impl().settings.chat_templates;
  const auto same = [&](const auto& known) { return known.first == name; };
  const auto it = std::find_if(templates.begin(), templates.end(), same);
  if (it == templates.end()) {
    templates.emplace_back(name, std::move(text));
  } else {
    it->second = std::move(text);
  }
}

std::string Tokenizer::apply_chat_template(const Conversation& conversation, const ChatTemplateOptions& options) const {
  const ChatTemplate chosen = choose_template(impl_->settings.chat_templates, options);
  return chosen.apply(conversation, options, named_values(impl_->settings.special)).text;
}

ChatEncoding Tokenizer::encode_chats(const std::vector<Conversation>& conversations, const ChatTemplateOptions& options,
                                     const TokenizerOptions& tokenizer_options) const {
  if (conversations.empty()) throw Error("no conversation", "chat template options", "give at least one");
  const ChatTemplate chosen = choose_template(impl_->settings.chat_templates, options);
  const auto special = named_values(impl_->settings.special);
  ChatEncoding result;
  std::vector<std::vector<CharSpan>> spans;
  for (const Conversation& conversation : conversations) {
    RenderedChat rendered = chosen.apply(conversation, options, special);
    result.texts.push_back(std::move(rendered.text));
    spans.push_back(std::move(rendered.generation_spans));
  }
  // The template has written the special tokens itself.
  TokenizerOptions call = tokenizer_options;
  call.add_special_tokens = false;
  if (call.return_overflowing_tokens) {
    throw Error("return_overflowing_tokens with a chat", "tokenizer options", "leave it out: a chat is one row");
  }
  static_cast<BatchEncoding&>(result) = (*this)(result.texts, call);
  for (size_t row = 0; row < result.size(); ++row) {
    result.assistant_masks.push_back(mask_of(result.offsets(row), spans[row]));
  }
  return result;
}

ChatEncoding Tokenizer::encode_chat(const Conversation& conversation, const ChatTemplateOptions& options,
                                    const TokenizerOptions& tokenizer_options) const {
  return encode_chats(std::vector<Conversation>{conversation}, options, tokenizer_options);
}

}  // namespace mica
