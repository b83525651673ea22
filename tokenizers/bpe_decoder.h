#pragma once
// The decoder of vocabularies that mark the end of a word, like "low" "er</w>": the mark becomes a space.

#include "mica/tokenizers/decoders.h"

namespace mica {

/// Reads a "BPEDecoder".
DecoderPtr make_bpe_decoder(Fields& fields);
DecoderPtr make_bpe_decoder(std::string suffix);

}  // namespace mica
