#pragma once
// Where a model folder keeps its chat templates, and how they are written.

#include <string>
#include <utility>
#include <vector>

#include "mica/base/json.h"

namespace mica {

/// Names and texts; the template that stands alone is called "default".
using ChatTemplates = std::vector<std::pair<std::string, std::string>>;

/// chat_template.jinja and additional_chat_templates/*.jinja; where there are none, chat_template of
/// tokenizer_config.json (a text, or an array of {name, template}); then chat_template.json, which processors of older
/// versions wrote. Empty when the folder has none. Throws Error naming the file that is malformed or too large.
ChatTemplates read_chat_templates(const std::string& folder, const Json& config, const std::string& config_path);

/// chat_template.jinja for "default", additional_chat_templates/NAME.jinja for the others; returns the paths. Throws
/// Error for a name that is no file name.
std::vector<std::string> write_chat_templates(const std::string& folder, const ChatTemplates& templates);

}  // namespace mica
