#include "mica/tokenizers/chat/chat_template.h"

#include "mica/base/error.h"
#include "mica/tokenizers/chat/interpreter.h"
#include "mica/tokenizers/chat/parser.h"
#include "mica/tokenizers/chat/render_inputs.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

struct ChatTemplate::Impl {
  std::string source, name;
  jinja::Program program;
};

Conversation Conversation::from_json(std::string json, std::string where) {
  Conversation result(std::vector<ChatMessage>{});
  result.json_ = std::move(json);
  result.where_ = std::move(where);
  return result;
}

ChatTemplate ChatTemplate::parse(std::string_view source, std::string name, const ChatTemplateLimits& limits) {
  if (static_cast<int64_t>(source.size()) > limits.max_template_bytes) {
    throw Error("a template of " + std::to_string(source.size()) + " bytes, more than " +
                    std::to_string(limits.max_template_bytes),
                printable(name, 400), "shorten it, or raise max_template_bytes");
  }
  auto impl = std::make_shared<Impl>();
  std::string storage;
  impl->source = utf8::valid(source, storage);
  impl->name = printable(name, 400);
  try {
    impl->program = jinja::parse(impl->source);
  } catch (const jinja::SyntaxError& error) {
    throw Error(error.problem, impl->name + ", line " + std::to_string(error.line), "mend the template");
  }
  return ChatTemplate(std::move(impl));
}

const std::string& ChatTemplate::source() const {
  return impl_->source;
}

const std::string& ChatTemplate::name() const {
  return impl_->name;
}

namespace {

RenderedChat run(const jinja::Program& program, const std::string& name, const Json& variables,
                 const ChatTemplateOptions& options) {
  jinja::Interpreter interpreter(program, name, options.limits, options.clock);
  try {
    for (const auto& [key, value] : variables.items()) interpreter.set_variable(key, interpreter.from_json(value));
    return interpreter.run();
  } catch (const jinja::LimitReached& limit) {
    interpreter.fail(limit.problem, "shorten the input, or raise ChatTemplateLimits if the template is trusted");
  }
}

}  // namespace

RenderedChat ChatTemplate::render(std::string_view variables, const ChatTemplateOptions& options) const {
  const Json json = parse_json(variables, "variables");
  if (!json.is_object()) throw Error("the variables are no JSON object", "variables", "give an object");
  return run(impl_->program, impl_->name, json, options);
}

RenderedChat ChatTemplate::apply(const Conversation& conversation, const ChatTemplateOptions& options,
                                 const std::vector<std::pair<std::string, std::string>>& special_tokens) const {
  rendering::Inputs inputs = rendering::render_inputs(conversation, options, special_tokens, impl_->source);
  RenderedChat rendered = run(impl_->program, impl_->name, inputs.variables, options);
  if (options.continue_final_message) rendering::cut_behind_final_message(inputs, rendered);
  return rendered;
}

}  // namespace mica
