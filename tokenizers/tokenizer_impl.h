#pragma once
// What a Tokenizer holds. For the files that implement it, and for tests that look at the parts.

#include <memory>
#include <utility>

#include "mica/tokenizers/batch_builder.h"
#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/readers/folder.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {

struct Tokenizer::Impl {
  std::shared_ptr<const Engine> engine;
  TokenizerSettings settings;

  /// The engine of a call: a target's, where those are read differently.
  const std::shared_ptr<const Engine>& engine_for(const TokenizerOptions& options) const {
    return options.text_target && settings.target ? settings.target : engine;
  }
  /// Puts changed copies in the place of the engines; the result is that of the first change.
  template <typename Change>
  int64_t change(const Change& apply) {
    const auto changed = [&](std::shared_ptr<const Engine>& which) {
      auto copy = std::make_shared<Engine>(*which);
      const int64_t result = apply(*copy);
      copy->prepare();
      which = std::move(copy);
      return result;
    };
    const int64_t result = changed(engine);
    if (settings.target) changed(settings.target);
    return result;
  }
  /// Options with every default filled in. Throws Error for what cannot be met.
  CallPlan plan(const TokenizerOptions& options) const;
  std::optional<int32_t> special_id(std::optional<std::string> SpecialTokens::*name) const;
};

}  // namespace mica
