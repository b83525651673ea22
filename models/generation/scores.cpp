#include "mica/models/generation/scores.h"

#include <algorithm>
#include <cmath>

#include "mica/base/error.h"
#include "mica/kernels/reduce.h"

namespace mica::scores {
namespace {

View row_view(const float* data, size_t size) {
  View view;
  view.data = const_cast<float*>(data);
  view.rank = 2;
  view.shape = {1, static_cast<int64_t>(size)};
  view.strides = {static_cast<int64_t>(size), 1};
  return view;
}

[[noreturn]] void undefined_scores() {
  throw Error("the model's scores are not all numbers", "generate", "check the weights, or set remove_invalid_values");
}

}  // namespace

void softmax(std::span<const float> scores, std::span<float> probabilities) {
  backend(Device{}).reduce().softmax(row_view(scores.data(), scores.size()), false,
                                     row_view(probabilities.data(), probabilities.size()));
}

void log_softmax(std::span<const float> scores, std::span<float> logs) {
  backend(Device{}).reduce().softmax(row_view(scores.data(), scores.size()), true, row_view(logs.data(), logs.size()));
}

double log_sum(std::span<const float> scores) {
  const float top = *std::max_element(scores.begin(), scores.end());
  if (!std::isfinite(top)) return top;
  double sum = 0;
  for (const float score : scores) {
    if (score != kBarred) sum += std::exp(static_cast<double>(score - top));
  }
  return static_cast<double>(top) + std::log(sum);
}

int64_t best(std::span<const float> scores) {
  int64_t index = -1;
  float top = kBarred;
  bool undefined = false;
  for (size_t i = 0; i < scores.size(); ++i) {
    undefined |= std::isnan(scores[i]);
    if (scores[i] > top) {
      top = scores[i];
      index = static_cast<int64_t>(i);
    }
  }
  if (undefined) undefined_scores();
  return index;
}

// One pass with a bar: what doesn't pass it is out, and it is raised to the count-th best whenever enough candidates
// have gathered. So nearly every element costs one comparison.
void largest(std::span<const float> scores, int64_t count, std::vector<int64_t>& indices, bool later_first) {
  const auto before = [&](int64_t a, int64_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x > y || (x == y && (later_first ? a > b : a < b));
  };
  const size_t wanted = static_cast<size_t>(std::min(count, static_cast<int64_t>(scores.size())));
  const size_t room = std::min(scores.size(), 2 * wanted + 64);
  indices.clear();
  indices.reserve(room);
  if (wanted == 0) return;
  bool barred = false;
  float bar = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (barred && (scores[i] < bar || (scores[i] == bar && !later_first))) continue;
    indices.push_back(static_cast<int64_t>(i));
    if (indices.size() == room && i + 1 < scores.size()) {
      std::nth_element(indices.begin(), indices.begin() + static_cast<ptrdiff_t>(wanted) - 1, indices.end(), before);
      indices.resize(wanted);
      bar = scores[static_cast<size_t>(indices.back())];
      barred = true;
    }
  }
  std::sort(indices.begin(), indices.end(), before);
  if (indices.size() > wanted) indices.resize(wanted);
}

int64_t draw(std::span<const float> weights, double u) {
  double total = 0;
  for (const float weight : weights) total += static_cast<double>(weight);
  if (!std::isfinite(total)) undefined_scores();
  if (!(total > 0)) throw Error("no token is possible", "generate", "loosen the settings that bar tokens");
  const double target = u * total;
  double sum = 0;
  int64_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    sum += static_cast<double>(weights[i]);
    last = static_cast<int64_t>(i);
    if (target < sum) break;
  }
  return last;
}

}  // namespace mica::scores
