#pragma once
// What the reference keeps in Python has no place in a tokenizer.json.

#include "mica/base/error.h"

namespace mica {

/// Throws the Error of whoever asks such a component for its JSON.
[[noreturn]] inline void no_tokenizer_json() {
  throw Error("a tokenizer of this class has no tokenizer.json", "save_pretrained",
              "keep the files that it was opened from as they are");
}

}  // namespace mica
