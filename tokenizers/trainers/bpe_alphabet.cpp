#include "mica/tokenizers/trainers/bpe_alphabet.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <tuple>

#include "mica/base/error.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr char32_t kCodePoints = 0x110000;
constexpr uint32_t kNone = UINT32_MAX;

std::string text_of(char32_t c) {
  std::string text;
  utf8::append(c, text);
  return text;
}

// The characters to keep, by code point.
std::vector<char32_t> make_alphabet(const WordCounts& words, const BpeTraining& training) {
  std::vector<uint64_t> counts(kCodePoints, 0);
  for (const WordCount& word : words.words) {
    for (const char *p = word.text.data(), *end = p + word.text.size(); p < end;) counts[utf8::next(p)] += word.count;
  }
  for (const char32_t c : training.initial_alphabet) {
    if (c >= kCodePoints) throw Error("a character beyond Unicode", "initial_alphabet", "give code points");
    counts[c] = std::numeric_limits<uint64_t>::max();
  }
  std::vector<char32_t> kept;
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (counts[c] > 0) kept.push_back(c);
  }
  if (training.limit_alphabet && kept.size() > static_cast<size_t>(*training.limit_alphabet)) {
    std::sort(kept.begin(), kept.end(),
              [&](char32_t a, char32_t b) { return counts[a] != counts[b] ? counts[a] > counts[b] : a < b; });
    kept.resize(static_cast<size_t>(*training.limit_alphabet));
    std::sort(kept.begin(), kept.end());
  }
  return kept;
}

// A character's ids: alone, behind others, at the end of a word, and both.
using Forms = std::array<uint32_t, 4>;
size_t form_of(bool first, bool last) {
  return (first ? 0u : 1u) + (last ? 2u : 0u);
}

}  // namespace

uint32_t GrowingVocabulary::add(const std::string& token) {
  const auto [it, is_new] = ids_.emplace(token, static_cast<uint32_t>(tokens_.size()));
  if (is_new) tokens_.push_back(token);
  return it->second;
}

SpelledWords spell_words(const WordCounts& words, const BpeTraining& training, GrowingVocabulary& vocabulary) {
  for (const std::string& token : training.special_tokens) vocabulary.add(token);
  for (const char32_t c : make_alphabet(words, training)) vocabulary.add(text_of(c));

  // A special token of one character counts as part of the alphabet.
  std::vector<uint32_t> index(kCodePoints, kNone);
  std::vector<Forms> forms;
  for (uint32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string& token = vocabulary[id];
    if (token.empty() || !utf8::is_valid(token) || utf8::count(token) != 1) continue;
    const char* p = token.data();
    index[utf8::next(p)] = static_cast<uint32_t>(forms.size());
    forms.push_back({kNone, kNone, kNone, kNone});
  }
  const auto for_each = [&](std::string_view word, const auto& visit) {
    const char *const begin = word.data(), *const end = begin + word.size();
    for (const char* p = begin; p < end;) {
      const bool first = p == begin;
      const char32_t c = utf8::next(p);
      if (index[c] != kNone) visit(c, forms[index[c]][form_of(first, p == end)]);
    }
  };
  std::map<std::string, std::vector<uint32_t*>> used;  // places that wait for the form's id
  const auto text_of_form = [&](char32_t c, const uint32_t& form) {
    const auto which = static_cast<size_t>(&form - forms[index[c]].data());
    return ((which & 1) != 0 ? training.continuing_subword_prefix : "") + text_of(c) +
           ((which & 2) != 0 ? training.end_of_word_suffix : "");
  };
  size_t symbols = 0;
  for (const WordCount& word : words.words) {
    for_each(word.text, [&](char32_t c, uint32_t& form) {
      ++symbols;
      if (form != kNone) return;
      form = 0;
      used[text_of_form(c, form)].push_back(&form);
    });
  }
  for (const auto& [token, places] : used) {
    const uint32_t id = vocabulary.add(token);
    for (uint32_t* const place : places) *place = id;
  }

  SpelledWords spelled;
  spelled.symbols.reserve(symbols);
  for (const WordCount& word : words.words) {
    const size_t begin = spelled.symbols.size();
    for_each(word.text, [&](char32_t, const uint32_t& form) { spelled.symbols.push_back(form); });
    if (spelled.symbols.size() - begin < 2) {
      spelled.symbols.resize(begin);  // nothing to merge
      continue;
    }
    spelled.begins.push_back(begin);
    spelled.lengths.push_back(static_cast<uint32_t>(spelled.symbols.size() - begin));
    spelled.counts.push_back(word.count);
  }
  return spelled;
}

}  // namespace mica
