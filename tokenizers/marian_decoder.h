#pragma once
// Pieces to text as Marian and M2M100 do it: SentencePiece's decoding between special tokens, no U+2581 left, and no
// white space at the ends.

#include <string>
#include <vector>

#include "mica/tokenizers/decoders.h"

namespace mica {

/// `pieces` decodes what lies between the special tokens, each of which stands as it is, with a space behind it where
/// that is asked for.
DecoderPtr make_marian_decoder(DecoderPtr pieces, std::vector<std::string> special_tokens, bool space_behind = true);

}  // namespace mica
