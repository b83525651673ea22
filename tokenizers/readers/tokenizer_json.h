#pragma once
// tokenizer.json to an Engine and back.

#include <memory>
#include <string>
#include <string_view>

#include "mica/tokenizers/engine.h"

namespace mica {

/// Reads the text of a tokenizer.json; `file` names it in errors. Nothing in it is ignored: an unknown key or component
/// is an Error. The result still needs Engine::prepare(). For tests: not `quickly` reads the bulk as everything else.
std::shared_ptr<Engine> read_tokenizer_json(std::string_view text, const std::string& file, bool quickly = true);

/// The same, for images: `rest`, where the bulk could be read quickly, is the file without it, from which
/// read_tokenizer_rest() makes the same engine when `data` holds the bulk.
std::shared_ptr<Engine> read_tokenizer_json(std::string_view text, const std::string& file, std::string& rest);
std::shared_ptr<Engine> read_tokenizer_rest(std::string_view rest, const std::string& file, ModelData data);

/// The text of a tokenizer.json that gives this engine.
std::string write_tokenizer_json(const Engine& engine);

}  // namespace mica
