#include "mica/training/metrics/porter.h"

#include <array>
#include <map>
#include <span>
#include <vector>

namespace mica {
namespace {

bool is_vowel(char c) {
  return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

// Whether each letter is a consonant; y is one at the start and behind a vowel.
std::vector<bool> consonants(std::string_view word) {
  std::vector<bool> flags(word.size());
  for (size_t i = 0; i < word.size(); ++i) flags[i] = word[i] == 'y' ? i == 0 || !flags[i - 1] : !is_vowel(word[i]);
  return flags;
}

// How often a vowel is followed by a consonant: the m of [C](VC)^m[V].
int measure(std::string_view stem) {
  const std::vector<bool> flags = consonants(stem);
  int m = 0;
  for (size_t i = 1; i < flags.size(); ++i) m += !flags[i - 1] && flags[i] ? 1 : 0;
  return m;
}

bool has_vowel(std::string_view stem) {
  for (const bool consonant : consonants(stem)) {
    if (!consonant) return true;
  }
  return false;
}

bool ends_in_double_consonant(std::string_view word) {
  return word.size() >= 2 && word[word.size() - 1] == word[word.size() - 2] && consonants(word).back();
}

// Consonant, vowel, consonant other than w, x, y; NLTK: or a vowel and a consonant alone.
bool ends_in_short_syllable(std::string_view word) {
  const std::vector<bool> flags = consonants(word);
  const size_t n = word.size();
  if (n == 2) return !flags[0] && flags[1];
  return n >= 3 && flags[n - 3] && !flags[n - 2] && flags[n - 1] && word[n - 1] != 'w' && word[n - 1] != 'x' &&
         word[n - 1] != 'y';
}

struct Rule {
  std::string_view suffix, replacement;
};

std::string replaced(std::string_view word, const Rule& rule) {
  return std::string(word.substr(0, word.size() - rule.suffix.size())) + std::string(rule.replacement);
}

// Applies the first rule whose suffix the word has, if its stem's measure is above `least`; then no other is tried.
std::string by_rules(std::string word, std::span<const Rule> rules, int least) {
  for (const Rule& rule : rules) {
    if (!word.ends_with(rule.suffix)) continue;
    const std::string_view stem = std::string_view(word).substr(0, word.size() - rule.suffix.size());
    return measure(stem) > least ? replaced(word, rule) : word;
  }
  return word;
}

std::string plural(std::string word) {
  if (word.ends_with("ies")) return replaced(word, {"ies", word.size() == 4 ? "ie" : "i"});
  if (word.ends_with("sses")) return replaced(word, {"sses", "ss"});
  if (word.ends_with("s") && !word.ends_with("ss")) word.pop_back();
  return word;
}

std::string past_and_gerund(std::string word) {
  if (word.ends_with("ied")) return replaced(word, {"ied", word.size() == 4 ? "ie" : "i"});
  if (word.ends_with("eed")) {
    return measure(std::string_view(word).substr(0, word.size() - 3)) > 0 ? replaced(word, {"eed", "ee"}) : word;
  }
  std::string stem;
  for (const std::string_view suffix : {"ed", "ing"}) {
    if (!word.ends_with(suffix)) continue;
    stem = replaced(word, {suffix, ""});
    if (has_vowel(stem)) break;
    stem.clear();
  }
  if (stem.empty()) return word;
  for (const std::string_view suffix : {"at", "bl", "iz"}) {
    if (stem.ends_with(suffix)) return stem + "e";
  }
  const char last = stem.back();
  if (ends_in_double_consonant(stem)) {
    if (last != 'l' && last != 's' && last != 'z') stem.pop_back();
    return stem;
  }
  return measure(stem) == 1 && ends_in_short_syllable(stem) ? stem + "e" : stem;
}

std::string final_y(std::string word) {
  if (!word.ends_with("y") || word.size() <= 2) return word;
  const std::string_view stem = std::string_view(word).substr(0, word.size() - 1);
  if (consonants(stem).back()) word.back() = 'i';
  return word;
}

std::string double_suffixes(std::string word) {
  static constexpr std::array<Rule, 21> rules{{
      {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
      {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
      {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
      {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
      {"fulli", "ful"},
  }};
  while (word.ends_with("alli") && measure(std::string_view(word).substr(0, word.size() - 4)) > 0) {
    word = replaced(word, {"alli", "al"});
  }
  if (word.ends_with("logi")) {
    return measure(std::string_view(word).substr(0, word.size() - 3)) > 0 ? replaced(word, {"logi", "log"}) : word;
  }
  return by_rules(std::move(word), rules, 0);
}

std::string adjective_suffixes(std::string word) {
  static constexpr std::array<Rule, 7> rules{
      {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}}};
  return by_rules(std::move(word), rules, 0);
}

std::string residual_suffixes(std::string word) {
  static constexpr std::array<Rule, 18> rules{{{"al", ""},
                                               {"ance", ""},
                                               {"ence", ""},
                                               {"er", ""},
                                               {"ic", ""},
                                               {"able", ""},
                                               {"ible", ""},
                                               {"ant", ""},
                                               {"ement", ""},
                                               {"ment", ""},
                                               {"ent", ""},
                                               {"ou", ""},
                                               {"ism", ""},
                                               {"ate", ""},
                                               {"iti", ""},
                                               {"ous", ""},
                                               {"ive", ""},
                                               {"ize", ""}}};
  if (word.ends_with("ion")) {
    const std::string stem = replaced(word, {"ion", ""});
    return measure(stem) > 1 && (stem.back() == 's' || stem.back() == 't') ? stem : word;
  }
  return by_rules(std::move(word), rules, 1);
}

std::string final_e_and_l(std::string word) {
  if (word.ends_with("e")) {
    const std::string_view stem = std::string_view(word).substr(0, word.size() - 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_in_short_syllable(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(std::string_view(word).substr(0, word.size() - 1)) > 1) word.pop_back();
  return word;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  static const std::map<std::string_view, std::string_view> irregular{
      {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
      {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
      {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
  if (const auto found = irregular.find(word); found != irregular.end()) return std::string(found->second);
  if (word.size() <= 2) return std::string(word);
  return final_e_and_l(
      residual_suffixes(adjective_suffixes(double_suffixes(final_y(past_and_gerund(plural(std::string(word))))))));
}

}  // namespace mica
