#include "mica/models/generation/constraints/vocabulary.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

std::vector<int64_t> end_tokens_of(const Tokenizer& tokenizer, std::vector<int64_t> given) {
  if (!given.empty()) return given;
  const auto end = tokenizer.eos_token_id();
  if (!end) throw Error("the tokenizer has no end token", "vocabulary", "name the tokens that end a text");
  return {*end};
}

}  // namespace

ConstraintVocabulary::ConstraintVocabulary(const Tokenizer& tokenizer, std::vector<int64_t> end_tokens)
    : ConstraintVocabulary(tokenizer.token_bytes(), end_tokens_of(tokenizer, std::move(end_tokens))) {}

ConstraintVocabulary::ConstraintVocabulary(std::vector<std::string> token_bytes, std::vector<int64_t> end_tokens)
    : impl_(std::make_shared<const Impl>(
          Impl{std::make_shared<const constraint_detail::TokenTrie>(std::move(token_bytes), std::move(end_tokens))})) {}

int64_t ConstraintVocabulary::size() const {
  return static_cast<int64_t>(impl_->trie->size());
}

int64_t ConstraintVocabulary::memory() const {
  return impl_->trie->memory();
}

}  // namespace mica
