#pragma once
// One tokenizer file of any kind: which kind it is, its content tells.

#include <memory>
#include <string>

#include "mica/tokenizers/readers/folder.h"

namespace mica {

/// Reads a tokenizer.json, a tiktoken rank file, a tekken.json or a SentencePiece model (*.model, *.spm). Throws Error
/// naming the file for any other content. The engine is prepared, and special tokens are those of the usual names.
LoadedTokenizer load_tokenizer_file(const std::string& path);

}  // namespace mica
