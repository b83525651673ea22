#pragma once
// Pieces to text as Marian and M2M100 do it: SentencePiece's decoding between special tokens, no U+2581 left, and no
// white space at the ends.

#include <string>
#include <vector>

#include "mica/tokenizers/decoders.h"

namespace mica {

enum class Special {
  space_behind,  ///< Marian
  nothing,       ///< M2M100
  apart,         ///< mLUKE: a space on either side, and no white space at the ends of what lies between
  space_before,  ///< GPT-SW3: before the text that leads to the first of several; the ends stay as they are
};

/// `pieces` decodes what lies between the special tokens, each of which stands as it is, with a space as `special`
/// says.
DecoderPtr make_marian_decoder(DecoderPtr pieces, std::vector<std::string> special_tokens,
                               Special special = Special::space_behind);

}  // namespace mica
