#include "mica/training/metrics/error_rate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mica/base/error.h"
#include "mica/training/metrics/text.h"

namespace mica {
namespace {

using metrics::Characters;
using metrics::Word;

// Levenshtein's distance.
template <typename List>
int64_t distance(const List& a, const List& b) {
  std::vector<int64_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), int64_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    int64_t diagonal = row[0];
    row[0] = static_cast<int64_t>(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const int64_t above = row[j + 1];
      row[j + 1] = a[i] == b[j] ? diagonal : 1 + std::min({diagonal, above, row[j]});
      diagonal = above;
    }
  }
  return row.back();
}

// jiwer's default: runs of two and more white spaces become one space, then words lie between spaces, not tabs.
std::vector<Word> spaced_words(const std::string& text) {
  std::vector<Word> result;
  const Characters all = metrics::strip(metrics::characters(text));
  Word word;
  for (size_t i = 0; i < all.size();) {
    size_t end = i;
    while (end < all.size() && metrics::is_space(all[end])) ++end;
    if (end - i >= 2 || (end - i == 1 && all[i] == U' ')) {
      if (!word.empty()) result.push_back(std::move(word));
      word.clear();
      i = end;
    } else {
      word += all[i++];
    }
  }
  if (!word.empty()) result.push_back(std::move(word));
  return result;
}

template <typename Split>
double error_rate(const char* metric, const std::vector<std::string>& predictions,
                  const std::vector<std::string>& references, const Split& split) {
  metrics::check_pairs(metric, predictions.size(), references.size());
  int64_t errors = 0, length = 0;
  for (size_t i = 0; i < references.size(); ++i) {
    const auto reference = split(references[i]);
    errors += distance(reference, split(predictions[i]));
    length += static_cast<int64_t>(reference.size());
  }
  if (length == 0) throw Error("all references are empty", metric, "leave out texts without words");
  return static_cast<double>(errors) / static_cast<double>(length);
}

}  // namespace

double word_error_rate(const std::vector<std::string>& predictions, const std::vector<std::string>& references) {
  return error_rate("word_error_rate", predictions, references, spaced_words);
}

double character_error_rate(const std::vector<std::string>& predictions, const std::vector<std::string>& references) {
  return error_rate("character_error_rate", predictions, references,
                    [](const std::string& text) { return metrics::strip(metrics::characters(text)); });
}

double perplexity(double mean_loss) {
  return std::exp(mean_loss);
}

}  // namespace mica
