#include "mica/training/metrics/chrf.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "mica/base/error.h"
#include "mica/training/metrics/text.h"

namespace mica {
namespace {

using metrics::Characters;
using metrics::Word;

// Of one order: elements on either side and in both.
struct Matches {
  int64_t predicted = 0, actual = 0, both = 0;
};

// The n-grams of every order, characters first.
using Orders = std::vector<metrics::Counts<Characters>>;

// A punctuation mark at the end of a word, or else at its start, is a word of its own.
std::vector<Word> words_and_marks(const Characters& text) {
  std::vector<Word> result;
  for (const Word& word : metrics::words(text)) {
    if (word.size() > 1 && metrics::is_ascii_punctuation(word.back())) {
      result.push_back(word.substr(0, word.size() - 1));
      result.push_back(word.substr(word.size() - 1));
    } else if (word.size() > 1 && metrics::is_ascii_punctuation(word.front())) {
      result.push_back(word.substr(0, 1));
      result.push_back(word.substr(1));
    } else {
      result.push_back(word);
    }
  }
  return result;
}

Orders orders_of(const std::string& text, const ChrfOptions& options) {
  Characters all = metrics::characters(text);
  if (options.lowercase) all = metrics::lower(all);
  Characters run = all;
  if (!options.whitespace) std::erase_if(run, metrics::is_space);
  Orders orders;
  for (size_t n = 1; n <= static_cast<size_t>(options.character_order); ++n) {
    auto& counts = orders.emplace_back();
    for (size_t i = 0; i + n <= run.size(); ++i) ++counts[run.substr(i, n)];
  }
  if (options.word_order == 0) return orders;
  const std::vector<Word> words = words_and_marks(all);
  for (size_t n = 1; n <= static_cast<size_t>(options.word_order); ++n) {
    auto& counts = orders.emplace_back();
    for (size_t i = 0; i + n <= words.size(); ++i) {
      Characters key = words[i];
      for (size_t k = 1; k < n; ++k) key += U' ' + words[i + k];
      ++counts[key];
    }
  }
  return orders;
}

std::vector<Matches> matches_of(const Orders& prediction, const Orders& reference) {
  std::vector<Matches> result;
  for (size_t n = 0; n < prediction.size(); ++n) {
    Matches each;
    for (const auto& [key, count] : reference[n]) each.actual += count;
    for (const auto& [key, count] : prediction[n]) {
      each.predicted += count;
      const auto found = reference[n].find(key);
      if (found != reference[n].end()) each.both += std::min(count, found->second);
    }
    if (reference[n].empty()) each.predicted = 0;  // of an order that the reference is too short for
    result.push_back(each);
  }
  return result;
}

double f_score(const std::vector<Matches>& orders, const ChrfOptions& options) {
  constexpr double kEps = 1e-16;
  const double factor = options.beta * options.beta;
  double score = 0, precisions = 0, recalls = 0;
  int effective = 0;
  for (const Matches& each : orders) {
    const auto both = static_cast<double>(each.both);
    const double precision = each.predicted > 0 ? both / static_cast<double>(each.predicted) : kEps;
    const double recall = each.actual > 0 ? both / static_cast<double>(each.actual) : kEps;
    const double denominator = factor * precision + recall;
    score += denominator > 0 ? (1 + factor) * precision * recall / denominator : kEps;
    if (each.predicted > 0 && each.actual > 0) {
      precisions += precision;
      recalls += recall;
      ++effective;
    }
  }
  if (options.eps_smoothing) return 100 * score / static_cast<double>(orders.size());
  if (precisions + recalls == 0) return 0;
  precisions /= effective;
  recalls /= effective;
  return 100 * (1 + factor) * precisions * recalls / (factor * precisions + recalls);
}

}  // namespace

double chrf(const std::vector<std::string>& predictions, const std::vector<std::vector<std::string>>& references,
            const ChrfOptions& options) {
  metrics::check_pairs("chrf", predictions.size(), references.size());
  if (options.character_order < 1 || options.character_order > 32 || options.word_order < 0 ||
      options.word_order > 16 || !(options.beta > 0)) {
    throw Error("orders " + std::to_string(options.character_order) + " and " + std::to_string(options.word_order) +
                    ", beta " + std::to_string(options.beta),
                "chrf", "use 1 to 32 characters, 0 to 16 words, and a positive beta");
  }
  std::vector<Matches> sum(static_cast<size_t>(options.character_order + options.word_order));
  for (size_t i = 0; i < references.size(); ++i) {
    if (references[i].empty()) {
      throw Error("text " + std::to_string(i) + " has no reference", "chrf", "give each at least one");
    }
    const Orders prediction = orders_of(predictions[i], options);
    std::vector<Matches> best;
    double best_score = -1;
    for (const std::string& reference : references[i]) {
      std::vector<Matches> matches = matches_of(prediction, orders_of(reference, options));
      const double score = f_score(matches, options);
      if (score <= best_score) continue;
      best_score = score;
      best = std::move(matches);
    }
    for (size_t n = 0; n < sum.size(); ++n) {
      sum[n] = {sum[n].predicted + best[n].predicted, sum[n].actual + best[n].actual, sum[n].both + best[n].both};
    }
  }
  return f_score(sum, options);
}

}  // namespace mica
