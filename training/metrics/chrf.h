#pragma once
// chrF (Popovic 2015) and chrF++ (2017) over a corpus, as sacrebleu computes them: F-scores of runs of characters.

#include <string>
#include <vector>

namespace mica {

struct ChrfOptions {
  int character_order = 6;
  int word_order = 0;  ///< 2: chrF++
  double beta = 2;     ///< how much more recall counts than precision
  bool lowercase = false;
  bool whitespace = false;     ///< count it among the characters
  bool eps_smoothing = false;  ///< average F-scores instead of precisions and recalls, as the author's program does
};

/// 0 to 100. references[i]: one or more texts of what predictions[i] should say; the best counts. Throws Error where
/// there is none, and unless there is a prediction for each.
double chrf(const std::vector<std::string>& predictions, const std::vector<std::vector<std::string>>& references,
            const ChrfOptions& options = {});

}  // namespace mica
