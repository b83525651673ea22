#pragma once
// What a Tokenizer holds. For the files that implement it, and for tests that look at the parts.

#include <memory>

#include "mica/tokenizers/batch_builder.h"
#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/readers/folder.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {

struct Tokenizer::Impl {
  std::shared_ptr<const Engine> engine;
  TokenizerSettings settings;

  /// Options with every default filled in. Throws Error for what cannot be met.
  CallPlan plan(const TokenizerOptions& options) const;
  std::optional<int32_t> special_id(std::optional<std::string> SpecialTokens::*name) const;
};

}  // namespace mica
