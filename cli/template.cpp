// mica template: messages to the text that the model's chat template makes of them.

#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica::cli {
namespace {

struct TemplateOptions : CommonOptions {
  std::string messages;
  std::optional<std::string> tools, documents, variables, name;
  bool add_generation_prompt = false, continue_final_message = false, ids = false;
};

// A file, or standard input for "-".
std::string read_text(const std::string& path) {
  if (path != "-") return read_file(path);
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

void execute(const TemplateOptions& options) {
  options.load_options();
  const Tokenizer tokenizer = Tokenizer::from_pretrained(options.model);
  ChatTemplateOptions call;
  call.chat_template = options.name;
  if (options.tools) call.tools = read_text(*options.tools);
  if (options.documents) call.documents = read_text(*options.documents);
  if (options.variables) call.variables = read_text(*options.variables);
  call.add_generation_prompt = options.add_generation_prompt;
  call.continue_final_message = options.continue_final_message;
  const Conversation conversation = Conversation::from_json(read_text(options.messages), options.messages);
  if (!options.ids) {
    const std::string text = tokenizer.apply_chat_template(conversation, call);
    JsonWriter json;
    write_line(options.json ? json.value(text).text() : text);
    return;
  }
  const ChatEncoding encoding = tokenizer.encode_chat(conversation, call);
  JsonWriter json;
  json.begin_object().key("text").value(encoding.texts[0]).key("ids").begin_array();
  for (const int32_t id : encoding.input_ids[0]) json.value(int64_t{id});
  json.end_array().key("assistant_mask").begin_array();
  for (const int8_t mask : encoding.assistant_masks[0]) json.value(int64_t{mask});
  write_line(json.end_array().end_object().text());
}

}  // namespace

Action chat_template(Arguments& arguments) {
  auto options = std::make_shared<TemplateOptions>();
  options->declare(arguments);
  arguments.required_text("messages", options->messages, "a JSON file with the messages, or - for standard input");
  arguments.text("--tools", options->tools, "a JSON file with an array of tool schemas");
  arguments.text("--documents", options->documents, "a JSON file with an array of documents");
  arguments.text("--variables", options->variables, "a JSON file with an object of further variables");
  arguments.text("--template", options->name, "the name of one of the model's templates, or a template's text");
  arguments.flag("--add-generation-prompt", options->add_generation_prompt, "end where the assistant's answer begins");
  arguments.flag("--continue-final-message", options->continue_final_message, "end within the last message");
  arguments.flag("--ids", options->ids, "one JSON object with the text, its ids and the assistant's mask");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
