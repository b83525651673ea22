#include "mica/training/metrics/rouge.h"

#include <algorithm>
#include <set>

#include "mica/training/metrics/porter.h"
#include "mica/training/metrics/text.h"

namespace mica {
namespace {

using Words = std::vector<std::string>;

Words rouge_words(std::string_view text, bool stem) {
  Words words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(stem && word.size() > 3 ? porter_stem(word) : word);
    word.clear();
  };
  for (const char32_t c : metrics::lower(metrics::characters(text))) {
    if ((c >= U'a' && c <= U'z') || (c >= U'0' && c <= U'9')) {
      word += static_cast<char>(c);
    } else {
      finish();
    }
  }
  finish();
  return words;
}

std::vector<Words> lines(std::string_view text, bool stem) {
  std::vector<Words> result;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) result.push_back(rouge_words(text.substr(begin, end - begin), stem));
    begin = end + 1;
  }
  return result;
}

RougeScore score(size_t hits, size_t predicted, size_t actual) {
  const double precision = static_cast<double>(hits) / static_cast<double>(std::max<size_t>(1, predicted));
  const double recall = static_cast<double>(hits) / static_cast<double>(std::max<size_t>(1, actual));
  return {precision, recall, hits == 0 ? 0 : 2 * precision * recall / (precision + recall)};
}

metrics::Counts<std::string> ngrams(const Words& words, size_t n) {
  metrics::Counts<std::string> counts;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    std::string key = words[i];
    for (size_t k = 1; k < n; ++k) key += " " + words[i + k];
    ++counts[key];
  }
  return counts;
}

RougeScore ngram_score(const Words& prediction, const Words& reference, size_t n) {
  metrics::Counts<std::string> known = ngrams(reference, n);
  size_t hits = 0;
  for (const auto& [key, count] : ngrams(prediction, n)) {
    const auto found = known.find(key);
    if (found != known.end()) hits += static_cast<size_t>(std::min(count, found->second));
  }
  const auto total = [n](const Words& words) { return words.size() < n ? 0 : words.size() - n + 1; };
  return score(hits, total(prediction), total(reference));
}

// The table of longest common subsequences, row by row: calls cell(i, j, left, up) with the lengths beside and above of
// each cell whose words differ, and returns the length for both whole lists.
template <typename Cell>
size_t common_subsequence(const Words& reference, const Words& prediction, const Cell& cell) {
  std::vector<size_t> row(prediction.size() + 1, 0);
  for (size_t i = 0; i < reference.size(); ++i) {
    size_t diagonal = 0;
    for (size_t j = 0; j < prediction.size(); ++j) {
      const size_t up = row[j + 1];
      if (reference[i] == prediction[j]) {
        row[j + 1] = diagonal + 1;
      } else {
        cell(i, j, row[j], up);
        row[j + 1] = std::max(row[j], up);
      }
      diagonal = up;
    }
  }
  return row.back();
}

RougeScore subsequence_score(const Words& prediction, const Words& reference) {
  const size_t length = common_subsequence(reference, prediction, [](size_t, size_t, size_t, size_t) {});
  return score(length, prediction.size(), reference.size());
}

// Adds the places in `reference` of one longest common subsequence. One bit a cell says which way back the length came.
void add_subsequence(const Words& reference, const Words& prediction, std::set<size_t>& places) {
  const size_t columns = prediction.size();
  std::vector<bool> from_left(reference.size() * columns);
  common_subsequence(reference, prediction,
                     [&](size_t i, size_t j, size_t left, size_t up) { from_left[i * columns + j] = left > up; });
  for (size_t i = reference.size(), j = columns; i > 0 && j > 0;) {
    if (reference[i - 1] == prediction[j - 1]) {
      places.insert(i - 1);
      --i;
      --j;
    } else if (from_left[(i - 1) * columns + j - 1]) {
      --j;
    } else {
      --i;
    }
  }
}

// A word counts at most as often as it occurs on either side.
RougeScore summary_score(const std::vector<Words>& prediction, const std::vector<Words>& reference) {
  metrics::Counts<std::string> predicted, actual;
  size_t predicted_words = 0, actual_words = 0;
  for (const Words& line : prediction) {
    for (const std::string& word : line) ++predicted[word];
    predicted_words += line.size();
  }
  for (const Words& line : reference) {
    for (const std::string& word : line) ++actual[word];
    actual_words += line.size();
  }
  size_t hits = 0;
  for (const Words& line : reference) {
    std::set<size_t> places;
    for (const Words& other : prediction) add_subsequence(line, other, places);
    for (const size_t place : places) {
      const std::string& word = line[place];
      if (predicted[word] <= 0 || actual[word] <= 0) continue;
      --predicted[word];
      --actual[word];
      ++hits;
    }
  }
  return score(hits, predicted_words, actual_words);
}

void add(RougeScore& sum, const RougeScore& part, double weight) {
  sum.precision += weight * part.precision;
  sum.recall += weight * part.recall;
  sum.f1 += weight * part.f1;
}

}  // namespace

RougeScores rouge_scores(std::string_view prediction, std::string_view reference, bool stem) {
  const Words predicted = rouge_words(prediction, stem), actual = rouge_words(reference, stem);
  return {.rouge1 = ngram_score(predicted, actual, 1),
          .rouge2 = ngram_score(predicted, actual, 2),
          .rouge_l = subsequence_score(predicted, actual),
          .rouge_lsum = summary_score(lines(prediction, stem), lines(reference, stem))};
}

RougeScores rouge_scores(const std::vector<std::string>& predictions, const std::vector<std::string>& references,
                         bool stem) {
  metrics::check_pairs("rouge", predictions.size(), references.size());
  RougeScores mean;
  const double weight = 1 / static_cast<double>(references.size());
  for (size_t i = 0; i < references.size(); ++i) {
    const RougeScores one = rouge_scores(predictions[i], references[i], stem);
    add(mean.rouge1, one.rouge1, weight);
    add(mean.rouge2, one.rouge2, weight);
    add(mean.rouge_l, one.rouge_l, weight);
    add(mean.rouge_lsum, one.rouge_lsum, weight);
  }
  return mean;
}

}  // namespace mica
