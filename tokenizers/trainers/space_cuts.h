#pragma once
// Whether a text may be cut before its spaces ahead of normalization. A corpus has few different words between spaces:
// where cutting changes nothing, each is normalized and pre-tokenized once, whatever its count.

#include "mica/base/json.h"

namespace mica {

/// Where "a b" may be cut into "a" and " b". The space stands alone, and next to it on both sides is ...
enum class SpaceCuts {
  none,     ///< nowhere
  ascii,    ///< a visible character of ASCII
  letters,  ///< a visible character of ASCII, or a letter
};

/// For the components of a tokenizer.json, either of which may be null.
SpaceCuts space_cuts(const Json& normalizer, const Json& pre_tokenizer);

}  // namespace mica
