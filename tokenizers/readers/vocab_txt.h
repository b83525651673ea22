#pragma once
// vocab.txt: one WordPiece token a line, its id the line's number from 0.

#include <memory>
#include <string>

#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/readers/folder.h"

namespace mica {

/// The Engine that the class would build from its vocab.txt. `settings.special` has every token the class needs.
/// Still needs Engine::prepare(). Throws Error naming the file.
std::shared_ptr<Engine> read_vocab_txt(const std::string& path, const WordPieceClass& wordpiece_class,
                                       const TokenizerSettings& settings);

/// Applies do_lower_case, strip_accents and tokenize_chinese_chars where tokenizer_config.json gives them: for these
/// classes it overrules the normalizer of tokenizer.json.
void apply_bert_settings(const Json& config, const std::string& file, BertNormalizer::Settings& settings);

}  // namespace mica
