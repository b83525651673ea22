#pragma once
// Answers to questions, scored as the SQuAD scripts score them.

#include <string>
#include <string_view>
#include <vector>

namespace mica {

/// Lower case, without punctuation and articles, single spaces.
std::string normalize_answer(std::string_view text);

/// Whether the normalised texts are equal (0 or 1).
double exact_match(std::string_view prediction, std::string_view answer);
/// Harmonic mean of precision and recall over the words of the normalised texts; of two empty ones 1, else of an empty
/// one 0.
double answer_f1(std::string_view prediction, std::string_view answer);

struct AnswerScores {
  double exact_match = 0, f1 = 0;  ///< in percent
};

/// The mean over questions of the best score that any of a question's answers gives. A question without answers (or
/// with none but punctuation and articles) is answered by the empty text. Throws Error unless each has a prediction.
AnswerScores answer_scores(const std::vector<std::string>& predictions,
                           const std::vector<std::vector<std::string>>& answers);

}  // namespace mica
