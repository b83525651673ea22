#pragma once
// Arithmetic on one row of scores, shared by processors and strategies.

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace mica::scores {

constexpr float kBarred = -std::numeric_limits<float>::infinity();

/// probabilities = softmax(scores), or their logarithms; may be the same row.
void softmax(std::span<const float> scores, std::span<float> probabilities);
void log_softmax(std::span<const float> scores, std::span<float> logs);
/// log of the sum of exp(score).
double log_sum(std::span<const float> scores);

/// Index of the first largest score; -1 when all are barred (-infinity). Throws Error when one is NaN.
int64_t best(std::span<const float> scores);

/// indices = the `count` largest scores (fewer when there are fewer), largest first; equal ones by index, the lower
/// first or, with `later_first`, the higher.
void largest(std::span<const float> scores, int64_t count, std::vector<int64_t>& indices, bool later_first = false);

/// Throws the Error for scores that are not all numbers.
[[noreturn]] void undefined_scores();

/// The index that `u` in [0, 1) falls on when each has a share of the line as large as its weight (0 or more).
/// Throws Error when the weights add up to nothing, or are no numbers.
int64_t draw(std::span<const float> weights, double u);

}  // namespace mica::scores
