#pragma once
// Telling pairs that belong together from pairs that don't by one score: as sentence-transformers'
// BinaryClassificationEvaluator measures it.

#include <cstdint>
#include <span>

namespace mica {

struct ThresholdScores {
  double accuracy = 0, accuracy_threshold = 0;  ///< the best that a threshold gives, and that threshold
  double f1 = 0, f1_threshold = 0;
  double precision = 0, recall = 0, matthews = 0;  ///< at the threshold of the best F1
  double average_precision = 0;                    ///< over all thresholds, as scikit-learn has it
};

/// Pairs with a score at or above the threshold are called alike. Thresholds lie in the middle between two scores, so
/// equal scores are never told apart. labels: 1 (alike) and 0. Throws Error unless there are as many labels as scores,
/// at least one, and for other labels or a score that is no number.
ThresholdScores threshold_scores(std::span<const double> scores, std::span<const int64_t> labels);

}  // namespace mica
