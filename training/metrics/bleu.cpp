#include "mica/training/metrics/bleu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "mica/base/error.h"
#include "mica/training/metrics/text.h"

namespace mica {
namespace {

using metrics::CharacterKind;
using metrics::Characters;
using metrics::Word;

void replace_all(Characters& text, std::u32string_view from, std::u32string_view to) {
  for (size_t at = text.find(from); at != Characters::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// Puts spaces around each character that `apart` names.
template <typename Apart>
Characters set_apart(const Characters& text, const Apart& apart) {
  Characters result;
  for (const char32_t c : text) {
    if (apart(c)) {
      result.append({U' ', c, U' '});
    } else {
      result += c;
    }
  }
  return result;
}

// Where `first` and `second` hold for two neighbours: spaces around the one of them that is to stand alone. A pair
// that was found is behind us, as in a substitution by regular expression.
template <typename First, typename Second>
Characters split_pairs(const Characters& text, const First& first, const Second& second, bool first_stands_alone) {
  Characters result;
  for (size_t i = 0; i < text.size();) {
    if (i + 1 < text.size() && first(text[i]) && second(text[i + 1])) {
      if (first_stands_alone) {
        result.append({U' ', text[i], U' ', text[i + 1]});
      } else {
        result.append({text[i], U' ', text[i + 1], U' '});
      }
      i += 2;
    } else {
      result += text[i++];
    }
  }
  return result;
}

Characters split_13a(Characters text) {
  const auto digit = [](char32_t c) { return c >= U'0' && c <= U'9'; };
  const auto no_digit = [&](char32_t c) { return !digit(c); };
  const auto point = [](char32_t c) { return c == U'.' || c == U','; };
  const auto dash = [](char32_t c) { return c == U'-'; };
  replace_all(text, U"<skipped>", U"");
  replace_all(text, U"-\n", U"");
  replace_all(text, U"\n", U" ");
  replace_all(text, U"&quot;", U"\"");
  replace_all(text, U"&amp;", U"&");
  replace_all(text, U"&lt;", U"<");
  replace_all(text, U"&gt;", U">");
  // ASCII but letters, digits and ' , - .
  text = set_apart(U" " + text + U" ", [](char32_t c) {
    return c == U' ' || (metrics::is_ascii_punctuation(c) && c != U'\'' && c != U',' && c != U'-' && c != U'.');
  });
  text = split_pairs(text, no_digit, point, false);
  text = split_pairs(text, point, no_digit, true);
  return split_pairs(text, digit, dash, false);
}

Characters split_international(const Characters& text) {
  const auto no_number = [](char32_t c) { return metrics::kind(c) != CharacterKind::number; };
  const auto punctuation = [](char32_t c) { return metrics::kind(c) == CharacterKind::punctuation; };
  const Characters once = split_pairs(text, no_number, punctuation, false);
  return set_apart(split_pairs(once, punctuation, no_number, true),
                   [](char32_t c) { return metrics::kind(c) == CharacterKind::symbol; });
}

std::vector<Word> tokenized(Characters text, BleuTokenizer tokenizer) {
  switch (tokenizer) {
    case BleuTokenizer::v13a:
      return metrics::words(split_13a(std::move(text)));
    case BleuTokenizer::intl:
      return metrics::words(split_international(text));
    case BleuTokenizer::character:
      return metrics::words(set_apart(text, [](char32_t) { return true; }));
    case BleuTokenizer::none:
      break;
  }
  return metrics::words(text);
}

Characters without_trailing_space(Characters text) {
  while (!text.empty() && metrics::is_space(text.back())) text.pop_back();
  return text;
}

std::vector<Word> words_of(const std::string& text, const BleuOptions& options) {
  Characters all = metrics::characters(text);
  if (options.lowercase) all = metrics::lower(all);
  return tokenized(without_trailing_space(std::move(all)), options.tokenizer);
}

metrics::Counts<Characters> ngrams(const std::vector<Word>& words, size_t n) {
  metrics::Counts<Characters> counts;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    Characters key = words[i];
    for (size_t k = 1; k < n; ++k) key += U' ' + words[i + k];
    ++counts[key];
  }
  return counts;
}

struct Statistics {
  std::vector<double> correct, total;
  int64_t predicted = 0, actual = 0;
};

void add_text(Statistics& sum, const std::string& prediction, const std::vector<std::string>& references,
              const BleuOptions& options) {
  const std::vector<Word> predicted = words_of(prediction, options);
  std::vector<std::vector<Word>> known;
  for (const std::string& each : references) known.push_back(words_of(each, options));
  const auto distance = [&](size_t length) {
    return std::abs(static_cast<int64_t>(length) - static_cast<int64_t>(predicted.size()));
  };
  size_t closest = known.front().size();
  for (const std::vector<Word>& each : known) {
    if (std::pair(distance(each.size()), each.size()) < std::pair(distance(closest), closest)) closest = each.size();
  }
  sum.predicted += static_cast<int64_t>(predicted.size());
  sum.actual += static_cast<int64_t>(closest);
  for (size_t n = 1; n <= sum.total.size(); ++n) {
    metrics::Counts<Characters> most;
    for (const std::vector<Word>& each : known) {
      for (const auto& [key, count] : ngrams(each, n)) most[key] = std::max(most[key], count);
    }
    for (const auto& [key, count] : ngrams(predicted, n)) {
      sum.total[n - 1] += static_cast<double>(count);
      const auto found = most.find(key);
      if (found != most.end()) sum.correct[n - 1] += static_cast<double>(std::min(count, found->second));
    }
  }
}

Bleu score_of(Statistics sum, const BleuOptions& options) {
  const size_t orders = sum.total.size();
  Bleu result{.precisions = std::vector<double>(orders, 0.0),
              .brevity_penalty = 1,
              .prediction_words = sum.predicted,
              .reference_words = sum.actual};
  const auto predicted = static_cast<double>(sum.predicted), actual = static_cast<double>(sum.actual);
  if (predicted < actual) result.brevity_penalty = predicted > 0 ? std::exp(1 - actual / predicted) : 0;
  if (std::all_of(sum.correct.begin(), sum.correct.end(), [](double count) { return count == 0; })) return result;

  const double value = options.smooth_value >= 0                   ? options.smooth_value
                       : options.smoothing == BleuSmoothing::floor ? 0.1
                                                                   : 1;
  double shrink = 1;
  size_t effective = orders;
  for (size_t n = 0; n < orders; ++n) {
    if (options.smoothing == BleuSmoothing::add_k && n > 0) {
      sum.correct[n] += value;
      sum.total[n] += value;
    }
    if (sum.total[n] == 0) break;
    if (options.effective_order) effective = n + 1;
    double& precision = result.precisions[n];
    if (sum.correct[n] > 0) {
      precision = 100 * sum.correct[n] / sum.total[n];
    } else if (options.smoothing == BleuSmoothing::exp) {
      shrink *= 2;
      precision = 100 / (shrink * sum.total[n]);
    } else if (options.smoothing == BleuSmoothing::floor) {
      precision = 100 * value / sum.total[n];
    }
  }
  double logarithms = 0;
  for (size_t n = 0; n < effective; ++n) logarithms += std::log(result.precisions[n]);
  result.score = result.brevity_penalty * std::exp(logarithms / static_cast<double>(effective));
  return result;
}

}  // namespace

BleuTokenizer bleu_tokenizer(std::string_view name) {
  if (name == "13a") return BleuTokenizer::v13a;
  if (name == "intl") return BleuTokenizer::intl;
  if (name == "char") return BleuTokenizer::character;
  if (name == "none") return BleuTokenizer::none;
  throw Error("unknown tokenizer " + printable(name), "bleu", "use one of 13a, intl, char, none");
}

std::vector<std::string> bleu_words(std::string_view text, BleuTokenizer tokenizer) {
  std::vector<std::string> result;
  for (const Word& each : tokenized(without_trailing_space(metrics::characters(text)), tokenizer)) {
    result.push_back(metrics::to_utf8(each));
  }
  return result;
}

Bleu bleu(const std::vector<std::string>& predictions, const std::vector<std::vector<std::string>>& references,
          const BleuOptions& options) {
  metrics::check_pairs("bleu", predictions.size(), references.size());
  if (options.max_order < 1 || options.max_order > 16) {
    throw Error("max_order " + std::to_string(options.max_order), "bleu", "use 1 to 16 words");
  }
  const auto orders = static_cast<size_t>(options.max_order);
  Statistics sum{.correct = std::vector<double>(orders, 0.0), .total = std::vector<double>(orders, 0.0)};
  for (size_t i = 0; i < references.size(); ++i) {
    if (references[i].empty()) {
      throw Error("text " + std::to_string(i) + " has no reference", "bleu", "give each at least one");
    }
    add_text(sum, predictions[i], references[i], options);
  }
  return score_of(std::move(sum), options);
}

}  // namespace mica
