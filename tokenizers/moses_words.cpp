#include "mica/tokenizers/moses_words.h"

#include <utility>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/moses_punctuation.h"
#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/python_only.h"

namespace mica {
namespace {

// Accents are marks of their own in between; what is nothing else vanishes.
std::vector<PlacedText> fold(const std::vector<PlacedText>& words) {
  PlacedText all = join_words(words);
  python_lower(all);
  NormalizedText text;
  assign(all, text);
  apply_normal_form(NormalForm::nfd, text);
  text.filter([](char32_t c) { return !jinja::is_nonspacing_mark(c); });
  all = placed_text(text, text.all());
  python_lower(all);
  return split_white(all);
}

}  // namespace

std::vector<PlacedText> MosesPreTokenizer::words(PlacedText text) const {
  if (settings_.lowers) python_lower(text);
  if (settings_.normalizes) {
    moses::replace_unicode_punctuation(text);
    moses::normalize_punctuation(text, language_.code);
    moses::remove_non_printing(text);
  }
  std::vector<PlacedText> cut = moses::words(std::move(text), language_, settings_.words);
  return settings_.folds ? fold(cut) : cut;
}

void MosesPreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  std::vector<PlacedText> all;
  for (const ByteRange piece : pieces) {
    for (PlacedText& word : words(placed_text(text, piece))) all.push_back(std::move(word));
  }
  assign_words(all, text, pieces);
}

Json MosesPreTokenizer::to_json() const {
  no_tokenizer_json();
}

}  // namespace mica
