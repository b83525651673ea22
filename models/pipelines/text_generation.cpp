#include "mica/models/pipelines/text_generation.h"

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/text_streamer.h"
#include "mica/models/pipelines/json_writer.h"

namespace mica {
namespace {

// The messages as a JSON array of objects.
Json messages_of(const Conversation& chat) {
  Json messages = Json::array();
  if (chat.json()) {
    messages = parse_json(*chat.json(), chat.where());
  } else {
    for (const ChatMessage& each : chat.messages()) {
      Json message = {{"role", each.role}, {"content", each.content}};
      if (!each.fields.empty()) message.update(parse_json(each.fields, chat.where()));
      messages.push_back(std::move(message));
    }
  }
  if (!messages.is_array() || messages.empty())
    throw Error("a chat without messages", chat.where(), "give at least one");
  return messages;
}

bool assistant_spoke_last(const Json& messages) {
  const Json& last = messages.back();
  return last.is_object() && last.contains("role") && last["role"] == "assistant";
}

// The messages with the answer as one more, or behind the assistant's last one.
std::string with_answer(Json messages, const std::string& answer) {
  if (assistant_spoke_last(messages) && messages.back()["content"].is_string()) {
    messages.back()["content"] = messages.back()["content"].get<std::string>() + answer;
  } else {
    messages.push_back({{"role", "assistant"}, {"content", answer}});
  }
  return messages.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void write(JsonWriter& json, const GeneratedText& text) {
  json.begin_object().key("generated_text");
  text.messages.empty() ? json.value(text.generated_text) : json.raw(text.messages);
  json.end_object();
}

}  // namespace

TextGenerationPipeline::TextGenerationPipeline(const std::string& name_or_folder, const PipelineOptions& options)
    : parts_(PipelineParts::open(name_or_folder, Task::causal_lm, options)) {}

TextGenerationPipeline::TextGenerationPipeline(Model model, Tokenizer tokenizer)
    : parts_{std::move(model), std::move(tokenizer)} {}

std::vector<std::vector<GeneratedText>> TextGenerationPipeline::operator()(const std::vector<std::string>& prompts,
                                                                           const TextGenerationOptions& options) const {
  const TaskSettings settings = task_settings(parts_, "text-generation");
  std::vector<std::string> texts = prompts;
  for (std::string& text : texts) text.insert(0, settings.prefix);
  const auto rows =
      generate_batches(parts_, encode_prompts(parts_.tokenizer, texts), settings.generation.with(options.generation),
                       options.extras, options.batch_size, options.progress);
  std::vector<std::vector<GeneratedText>> results(prompts.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const GeneratedIds& each : rows[i]) {
      const std::string added = continuation(parts_.tokenizer, each.prompt, each.tokens, options.skip_special_tokens);
      results[i].push_back({options.return_full_text ? prompts[i] + added : added, "", each.finish});
    }
  }
  return results;
}

std::vector<std::vector<GeneratedText>> TextGenerationPipeline::operator()(const std::vector<Conversation>& chats,
                                                                           const TextGenerationOptions& options) const {
  const TaskSettings settings = task_settings(parts_, "text-generation");
  Prompts prompts;
  std::vector<Json> messages;
  for (const Conversation& chat : chats) {
    messages.push_back(messages_of(chat));
    ChatTemplateOptions call = options.chat;
    call.continue_final_message = assistant_spoke_last(messages.back());
    call.add_generation_prompt = !call.continue_final_message;
    const ChatEncoding encoding = parts_.tokenizer.encode_chat(chat, call);
    prompts.emplace_back(encoding.input_ids[0].begin(), encoding.input_ids[0].end());
  }
  const auto rows = generate_batches(parts_, prompts, settings.generation.with(options.generation), options.extras,
                                     options.batch_size, options.progress);
  std::vector<std::vector<GeneratedText>> results(chats.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const GeneratedIds& each : rows[i]) {
      std::string answer = continuation(parts_.tokenizer, each.prompt, each.tokens, options.skip_special_tokens);
      std::string all = options.return_full_text ? with_answer(messages[i], answer) : "";
      results[i].push_back({std::move(answer), std::move(all), each.finish});
    }
  }
  return results;
}

std::vector<GeneratedText> TextGenerationPipeline::operator()(std::string_view prompt,
                                                              const TextGenerationOptions& options) const {
  return (*this)(std::vector<std::string>{std::string(prompt)}, options)[0];
}

std::vector<GeneratedText> TextGenerationPipeline::operator()(const Conversation& chat,
                                                              const TextGenerationOptions& options) const {
  return (*this)(std::vector<Conversation>{chat}, options)[0];
}

std::string to_json(const GeneratedText& text) {
  JsonWriter json;
  write(json, text);
  return json.text();
}

std::string to_json(const std::vector<GeneratedText>& texts) {
  JsonWriter json;
  json.begin_array();
  for (const GeneratedText& each : texts) write(json, each);
  return json.end_array().text();
}

}  // namespace mica
