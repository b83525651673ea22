#pragma once
// Error rates of transcripts, as jiwer computes them, and perplexity.

#include <string>
#include <vector>

namespace mica {

/// Substituted, inserted and deleted words over the words of the references, of all texts together. Words lie between
/// spaces; white space of several characters counts as one space. Throws Error unless there is a prediction for each
/// reference, and where the references hold no word at all.
double word_error_rate(const std::vector<std::string>& predictions, const std::vector<std::string>& references);
/// The same of characters, spaces inside a text included.
double character_error_rate(const std::vector<std::string>& predictions, const std::vector<std::string>& references);

/// e to the mean loss (natural logarithm) per token; infinite beyond the range of double.
double perplexity(double mean_loss);

}  // namespace mica
