#include "mica/training/metrics/correlation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "mica/base/error.h"

namespace mica {
namespace {

// x - mean, divided by its length.
std::vector<double> direction(std::span<const double> x) {
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  std::vector<double> centred(x.begin(), x.end());
  double squares = 0;
  for (double& value : centred) {
    value -= mean;
    squares += value * value;
  }
  for (double& value : centred) value /= std::sqrt(squares);
  return centred;
}

bool constant(std::span<const double> x) {
  return std::all_of(x.begin(), x.end(), [&](double value) { return value == x[0]; });
}

}  // namespace

double pearson_correlation(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size() || x.size() < 2) {
    throw Error("series of " + std::to_string(x.size()) + " and " + std::to_string(y.size()) + " numbers",
                "correlation", "give two of one length, at least 2");
  }
  if (constant(x) || constant(y)) return std::nan("");
  const std::vector<double> a = direction(x), b = direction(y);
  return std::clamp(std::inner_product(a.begin(), a.end(), b.begin(), 0.0), -1.0, 1.0);
}

std::vector<double> ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) result[order[i]] = static_cast<double>(begin + end + 1) / 2;
    begin = end;
  }
  return result;
}

double spearman_correlation(std::span<const double> x, std::span<const double> y) {
  const auto is_nan = [](double value) { return std::isnan(value); };
  if (std::any_of(x.begin(), x.end(), is_nan) || std::any_of(y.begin(), y.end(), is_nan)) return std::nan("");
  return pearson_correlation(ranks(x), ranks(y));
}

}  // namespace mica
