#pragma once
// The variables that transformers gives a chat template, and the end of a chat whose last message goes on.

#include <string>
#include <utility>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/chat/chat_template.h"

namespace mica::rendering {

struct Inputs {
  Json variables;
  std::string final_text;  // with continue_final_message: the text to go on with
};

/// Throws Error for malformed JSON, an empty conversation, or options that exclude each other. `source` is the
/// template's text.
Inputs render_inputs(const Conversation& conversation, const ChatTemplateOptions& options,
                     const std::vector<std::pair<std::string, std::string>>& special_tokens, const std::string& source);

/// Cuts the text where the final message ends. Throws Error when the template left the message out.
void cut_behind_final_message(const Inputs& inputs, RenderedChat& rendered);

}  // namespace mica::rendering
