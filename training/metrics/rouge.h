#pragma once
// ROUGE (Lin 2004), as the rouge_score package computes it: words are runs of a-z and 0-9 of the text in lower case.

#include <string>
#include <string_view>
#include <vector>

namespace mica {

struct RougeScore {
  double precision = 0, recall = 0, f1 = 0;
};

struct RougeScores {
  RougeScore rouge1{}, rouge2{};  ///< of words, of pairs of words
  RougeScore rouge_l{};           ///< of the longest common subsequence
  RougeScore rouge_lsum{};        ///< of the union of those of each two lines
};

/// `stem`: words of more than three letters are compared by their stems (porter.h).
RougeScores rouge_scores(std::string_view prediction, std::string_view reference, bool stem = false);

/// The mean over texts. Throws Error unless there is one prediction for each reference, and at least one.
RougeScores rouge_scores(const std::vector<std::string>& predictions, const std::vector<std::string>& references,
                         bool stem = false);

}  // namespace mica
