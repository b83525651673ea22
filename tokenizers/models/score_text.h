#pragma once
// The scores of a Unigram vocabulary as text.
//
// The reference reads a decimal as digits / 10^k in doubles, which may miss the nearest double by its last bit, and
// segmentations that tie are decided by that bit: 8,334 of T5's 32,100 scores are such. So mica reads them the same
// way.

#include <string_view>

namespace mica {

/// The value that the reference gives to a JSON number; infinite when it is out of range.
double parse_score(std::string_view text);

/// The double whose shortest decimal parse_score() reads as `score` (usually the score itself): what to write so that
/// the score survives.
double writable_score(double score);

}  // namespace mica
