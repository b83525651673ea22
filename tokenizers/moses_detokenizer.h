#pragma once
// Moses' detokenizer: words to a text as one writes it, punctuation and quotes at their words.

#include "mica/tokenizers/decoders.h"
#include "mica/tokenizers/moses_language.h"

namespace mica {

/// Tokens whose words end in </w>, put together by the language's rules (FSMT, BioGPT).
DecoderPtr make_moses_decoder(const moses::Language& language);

}  // namespace mica
