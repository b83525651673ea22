#pragma once
// What the tokenizer classes that are made of a SentencePiece .model have in common.

#include <memory>
#include <string>
#include <string_view>

#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/sentencepiece_model.h"

namespace mica {

/// The first file of the class's set in `folder`.
std::shared_ptr<const SentencePieceModel> read_model_of_class(const TokenizerClass& owner, const std::string& folder);
/// The same for a class that takes BPE models alone.
std::shared_ptr<const SentencePieceModel> read_bpe_model(const TokenizerClass& owner, const std::string& folder);

/// Its id. Throws Error for a special token that the vocabulary of `path` lacks; `key` names it ("unk_token").
int32_t need_token(const Vocabulary& vocabulary, const std::optional<std::string>& token, const char* key,
                   const std::string& path);

NormalizerPtr normalizer_of(const char* json, const std::string& file);

/// Tokens without blanks between, each U+2581 a blank, no white space at the ends; those `apart` with a blank on either
/// side.
DecoderPtr make_marks_decoder(const std::string& file, std::vector<std::string> apart = {});

AddedToken added_token(std::string content, bool special);
/// Control and user-defined pieces become added tokens: they are found in the text before anything else.
void add_control_pieces(const SentencePieceModel& model, Engine& engine);

/// The file has no merges: every way to make a piece of two others is one. By score, the highest comes first, then the
/// longest left part, then the longest right part (in characters); otherwise the piece with the lowest id, then the
/// shortest parts.
Merges merges_of_pieces(const SentencePieceModel& model, bool by_score);

/// "{cls}" to the token of that name in `special`, "" where there is none; other names stay.
std::string named_token(std::string_view name, const SpecialTokens& special);

/// What goes around one text, and around two: tokens, $A and $B with blanks between, each with its type behind a colon
/// (0 where there is none). {cls} and the like name special tokens; {language} is what the call says.
struct Template {
  const char* single;
  const char* pair;
};
/// Throws Error for a token that the engine lacks; `class_name` and `file` name the place.
PostProcessor make_template(const Template& around, const Engine& engine, const SpecialTokens& special,
                            std::string_view class_name, const std::string& file, std::string_view language = {});

}  // namespace mica
