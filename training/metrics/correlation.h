#pragma once
// Correlations of two series, as scipy.stats computes them. Both have one length, at least 2, else Error; NaN where a
// series is constant.

#include <span>
#include <vector>

namespace mica {

double pearson_correlation(std::span<const double> x, std::span<const double> y);
/// Pearson's of the ranks; equal values share the mean of their ranks.
double spearman_correlation(std::span<const double> x, std::span<const double> y);

/// 1 for the smallest value; equal values share the mean of their ranks.
std::vector<double> ranks(std::span<const double> values);

}  // namespace mica
