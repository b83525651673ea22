#pragma once
// Marian's pieces to text: SentencePiece's decoding between special tokens, and no U+2581 left.

#include <string>
#include <vector>

#include "mica/tokenizers/decoders.h"

namespace mica {

/// `pieces` decodes what lies between the special tokens, each of which stands as it is with a space behind it.
DecoderPtr make_marian_decoder(DecoderPtr pieces, std::vector<std::string> special_tokens);

}  // namespace mica
