#include "mica/tokenizers/basic_words.h"

#include <utility>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/python_only.h"

namespace mica {
namespace {

// Control characters vanish, other white space is a blank.
PlacedText clean(const PlacedText& text, bool chinese_alone) {
  PlacedText cleaned;
  for (const PlacedCharacter& one : text) {
    const char32_t c = one.c;
    const bool blank = c == U'\t' || c == U'\n' || c == U'\r' || jinja::is_space_separator(c);
    if (blank) {
      cleaned.push_back({U' ', one.begin, one.end});
    } else if (chinese_alone && unicode::has(c, unicode::kChinese)) {
      append(cleaned, U" ", one);
      cleaned.push_back(one);
      append(cleaned, U" ", one);
    } else if (c != 0xfffd && !jinja::is_other(c)) {
      cleaned.push_back(one);
    }
  }
  return cleaned;
}

PlacedText normal_form(const PlacedText& text, NormalForm form) {
  NormalizedText normalized;
  assign(text, normalized);
  apply_normal_form(form, normalized);
  return placed_text(normalized, normalized.all());
}

bool is_punctuation(char32_t c) {
  return (c > U' ' && c < 0x7f && !jinja::is_word(c)) || c == U'_' || jinja::is_punctuation(c);
}

}  // namespace

std::vector<PlacedText> BasicWords::words(const NormalizedText& text, ByteRange piece) const {
  PlacedText all = placed_text(text, piece);
  if (!settings_.only_white) all = normal_form(clean(all, settings_.chinese_alone), NormalForm::nfc);
  std::vector<PlacedText> found;
  for (PlacedText& word : split_white(all)) {
    if (settings_.only_white) {
      found.push_back(std::move(word));
      continue;
    }
    if (settings_.lowercase) python_lower(word);
    if (settings_.strip_accents.value_or(settings_.lowercase)) {
      word = normal_form(word, NormalForm::nfd);
      std::erase_if(word, [](const PlacedCharacter& one) { return jinja::is_nonspacing_mark(one.c); });
    }
    bool starts = true;
    for (const PlacedCharacter& one : word) {
      const bool alone = is_punctuation(one.c);
      if (starts || alone) found.emplace_back();
      found.back().push_back(one);
      starts = alone;
    }
  }
  return found;
}

void BasicWords::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  std::vector<PlacedText> all;
  for (const ByteRange piece : pieces) {
    for (PlacedText& word : words(text, piece)) all.push_back(std::move(word));
  }
  assign_words(all, text, pieces);
}

Json BasicWords::to_json() const {
  no_tokenizer_json();
}

}  // namespace mica
