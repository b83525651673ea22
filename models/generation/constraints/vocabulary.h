#pragma once
// What a ConstraintVocabulary holds.

#include <memory>

#include "mica/models/generation/constraints/constraints.h"
#include "mica/models/generation/constraints/token_trie.h"

namespace mica {

struct ConstraintVocabulary::Impl {
  std::shared_ptr<const constraint_detail::TokenTrie> trie;
};

}  // namespace mica
