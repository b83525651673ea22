#pragma once
// Scores of predicted classes, as scikit-learn computes them with zero_division 0: what would divide by nothing is 0.

#include <cstdint>
#include <span>
#include <vector>

namespace mica {

/// Share of equal elements. Here and below both sides have one length, which is not 0, else Error.
double accuracy(std::span<const int64_t> predictions, std::span<const int64_t> references);

enum class Average : uint8_t {
  binary,    ///< of the class `positive` alone
  micro,     ///< of all decisions together
  macro,     ///< the mean over classes
  weighted,  ///< the mean over classes, each as often as it occurs in the references
};

struct PrecisionRecallF1 {
  double precision = 0, recall = 0, f1 = 0;
  int64_t support = 0;  ///< elements of the class (or of all classes) in the references
};

/// Over the classes that occur in predictions or references. Throws Error for binary with a third class among them.
PrecisionRecallF1 precision_recall_f1(std::span<const int64_t> predictions, std::span<const int64_t> references,
                                      Average average = Average::binary, int64_t positive = 1);

struct ClassScore {
  int64_t label = 0;
  PrecisionRecallF1 score{};
};
/// One a class, in the order of labels.
std::vector<ClassScore> class_scores(std::span<const int64_t> predictions, std::span<const int64_t> references);

/// Matthews' correlation coefficient, for any number of classes (Gorodkin 2004).
double matthews_correlation(std::span<const int64_t> predictions, std::span<const int64_t> references);

/// Counts of decisions, from which the three scores follow.
PrecisionRecallF1 score_of_counts(int64_t true_positives, int64_t predicted, int64_t actual);
/// The mean of scores (or with `weighted` by support) and the sum of supports; zeros for none.
PrecisionRecallF1 mean_score(std::span<const PrecisionRecallF1> scores, bool weighted);

}  // namespace mica
