#pragma once
// A template's text to a tree whose variables know their slots.

#include <string_view>

#include "mica/tokenizers/chat/lexer.h"
#include "mica/tokenizers/chat/syntax.h"

namespace mica::jinja {

/// `source` is valid UTF-8. Throws SyntaxError.
Program parse(std::string_view source);

/// Gives each variable of the tree its slot, by Jinja's rules of scope. Called by parse.
void resolve_names(Program& program);

}  // namespace mica::jinja
