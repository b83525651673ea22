#include "mica/training/metrics/squad.h"

#include <algorithm>

#include "mica/training/metrics/text.h"

namespace mica {
namespace {

using metrics::CharacterKind;
using metrics::Characters;
using metrics::Word;

bool in_word(char32_t c) {
  const CharacterKind kind = metrics::kind(c);
  return kind == CharacterKind::letter || kind == CharacterKind::number || c == U'_';
}

// "a", "an" and "the" between characters that are part of no word become a space.
Characters without_articles(const Characters& text) {
  Characters result;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && in_word(text[end])) ++end;
    if (end == i) {
      result += text[i++];
      continue;
    }
    const Characters word = text.substr(i, end - i);
    result += word == U"a" || word == U"an" || word == U"the" ? Characters(U" ") : word;
    i = end;
  }
  return result;
}

std::vector<Word> normalized_words(std::string_view text) {
  Characters all = metrics::lower(metrics::characters(text));
  std::erase_if(all, metrics::is_ascii_punctuation);
  return metrics::words(without_articles(all));
}

double f1_of(const std::vector<Word>& prediction, const std::vector<Word>& answer) {
  if (prediction.empty() || answer.empty()) return prediction == answer ? 1 : 0;
  metrics::Counts<Word> counts;
  for (const Word& word : answer) ++counts[word];
  int64_t common = 0;
  for (const Word& word : prediction) common += counts[word]-- > 0 ? 1 : 0;
  if (common == 0) return 0;
  const double precision = static_cast<double>(common) / static_cast<double>(prediction.size());
  const double recall = static_cast<double>(common) / static_cast<double>(answer.size());
  return 2 * precision * recall / (precision + recall);
}

}  // namespace

std::string normalize_answer(std::string_view text) {
  std::string result;
  for (const Word& word : normalized_words(text)) result += (result.empty() ? "" : " ") + metrics::to_utf8(word);
  return result;
}

double exact_match(std::string_view prediction, std::string_view answer) {
  return normalized_words(prediction) == normalized_words(answer) ? 1 : 0;
}

double answer_f1(std::string_view prediction, std::string_view answer) {
  return f1_of(normalized_words(prediction), normalized_words(answer));
}

AnswerScores answer_scores(const std::vector<std::string>& predictions,
                           const std::vector<std::vector<std::string>>& answers) {
  metrics::check_pairs("answer_scores", predictions.size(), answers.size());
  AnswerScores sum;
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::vector<Word> prediction = normalized_words(predictions[i]);
    std::vector<std::vector<Word>> choices;
    for (const std::string& each : answers[i]) choices.push_back(normalized_words(each));
    std::erase_if(choices, [](const std::vector<Word>& each) { return each.empty(); });
    if (choices.empty()) choices.emplace_back();
    double exact = 0, f1 = 0;
    for (const std::vector<Word>& each : choices) {
      exact = std::max(exact, prediction == each ? 1.0 : 0.0);
      f1 = std::max(f1, f1_of(prediction, each));
    }
    sum.exact_match += exact;
    sum.f1 += f1;
  }
  const double scale = 100 / static_cast<double>(answers.size());
  return {sum.exact_match * scale, sum.f1 * scale};
}

}  // namespace mica
