#pragma once
// A model folder's tokenizer files: which there are, what they say, and the Engine they give.

#include <memory>
#include <string>

#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/readers/settings.h"

namespace mica {

struct LoadedTokenizer {
  std::shared_ptr<Engine> engine;  ///< prepared
  TokenizerSettings settings;
};

/// Reads a folder; throws Error naming what is missing or wrong.
LoadedTokenizer load_tokenizer_folder(const std::string& folder);
/// Settings for a tokenizer.json on its own: special tokens by their usual names.
TokenizerSettings settings_without_config(const Engine& engine);

}  // namespace mica
