// Any bytes as a chat template; what follows a NUL byte is the JSON of the messages. Whatever parses must run to an end
// within its limits, give valid UTF-8 no longer than it may be, and give the same text twice.

#include <ctime>

#include "mica/base/error.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/tokenizers/chat/chat_template.h"
#include "mica/tokenizers/utf8.h"

namespace {

using mica::fuzz::require;

constexpr const char* kMessages =
    R"([{"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "What's «this»? 😀"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "abcdefgh1", "type": "function",
          "function": {"name": "look", "arguments": {"at": "x", "n": 2, "f": 1.5, "b": true}}}]},
        {"role": "tool", "content": "{\"a\": [1, null]}", "tool_call_id": "abcdefgh1"},
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]}])";

constexpr const char* kTools = R"([{"type": "function", "function": {"name": "look", "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}}}])";

std::string run(const mica::ChatTemplate& chat_template, const mica::Conversation& conversation,
                const mica::ChatTemplateOptions& options) {
  try {
    const mica::RenderedChat rendered =
        chat_template.apply(conversation, options, {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
    require(static_cast<int64_t>(rendered.text.size()) <= options.limits.max_output_bytes, "output within its limit");
    require(mica::utf8::is_valid(rendered.text), "output is UTF-8");
    const auto length = static_cast<int32_t>(mica::utf8::count(rendered.text));
    for (const mica::CharSpan& span : rendered.generation_spans) {
      require(span.begin >= 0 && span.begin <= span.end && span.begin <= length, "spans start in the text");
    }
    return rendered.text;
  } catch (const mica::Error& error) {
    return std::string("error: ") + error.what();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = mica::fuzz::text(data, size);
  const std::string_view source = all.substr(0, all.find('\0'));
  const std::string messages(source.size() < all.size() ? all.substr(source.size() + 1) : std::string_view(kMessages));
  mica::ChatTemplateOptions options;
  options.limits.max_steps = 20'000;
  options.limits.max_memory_bytes = 4 << 20;
  options.limits.max_output_bytes = 1 << 20;
  options.tools = kTools;
  options.documents = R"([{"title": "t", "text": "x"}])";
  options.variables = R"({"x": 5, "l": [3, 1, 2], "d": {"b": 1, "a": [1, {"k": null}]}, "s": "héllo wörld"})";
  options.add_generation_prompt = true;
  options.clock = [] { return std::tm{}; };
  try {
    const mica::ChatTemplate parsed = mica::ChatTemplate::parse(source, "fuzz", options.limits);
    const mica::Conversation conversation = mica::Conversation::from_json(messages);
    const std::string text = run(parsed, conversation, options);
    require(run(parsed, conversation, options) == text, "the same text twice");
  } catch (const mica::Error&) {
  }
  return 0;
}
