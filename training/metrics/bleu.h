#pragma once
// BLEU (Papineni et al. 2002) over a corpus, as sacrebleu computes it.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mica {

enum class BleuTokenizer : uint8_t {
  v13a,       ///< mteval-v13a's, sacrebleu's default: ASCII punctuation stands alone
  intl,       ///< mteval-v14's: all of Unicode's punctuation and symbols do
  character,  ///< every character stands alone
  none,       ///< texts are tokenized already
};
/// From sacrebleu's "13a", "intl", "char", "none"; throws Error listing them.
BleuTokenizer bleu_tokenizer(std::string_view name);

enum class BleuSmoothing : uint8_t { none, floor, add_k, exp };

struct BleuOptions {
  BleuTokenizer tokenizer = BleuTokenizer::v13a;
  bool lowercase = false;
  BleuSmoothing smoothing = BleuSmoothing::exp;
  double smooth_value = -1;  ///< of floor (else 0.1) and add_k (else 1)
  int max_order = 4;
  bool effective_order = false;  ///< leave out orders that the text is too short for: for single sentences
};

struct Bleu {
  double score = 0;                  ///< 0 to 100
  std::vector<double> precisions{};  ///< in percent, of 1 to max_order words
  double brevity_penalty = 0;
  int64_t prediction_words = 0, reference_words = 0;
};

/// references[i]: one or more texts of what predictions[i] should say. Throws Error where there is none, and unless
/// there is a prediction for each.
Bleu bleu(const std::vector<std::string>& predictions, const std::vector<std::vector<std::string>>& references,
          const BleuOptions& options = {});

/// The text's words, as the tokenizer splits them.
std::vector<std::string> bleu_words(std::string_view text, BleuTokenizer tokenizer);

}  // namespace mica
