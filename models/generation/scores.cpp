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

constexpr size_t kBlock = 64;

struct BlockMax {
  float value;
  bool undefined;  // whether one is NaN
};

// Lane by lane, as the compiler vectorises it.
BlockMax max_of(const float* x, size_t count) {
  constexpr size_t kLanes = 16;
  float top[kLanes];
  int undefined[kLanes] = {};
  std::fill(top, top + kLanes, kBarred);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) top[j] = x[i + j] > top[j] ? x[i + j] : top[j];
    for (size_t j = 0; j < kLanes; ++j) undefined[j] |= static_cast<int>(x[i + j] != x[i + j]);
  }
  BlockMax result{kBarred, false};
  for (; i < count; ++i) {
    result.value = std::max(result.value, x[i]);  // a NaN is not larger
    result.undefined |= std::isnan(x[i]);
  }
  for (size_t j = 0; j < kLanes; ++j) {
    result.value = std::max(result.value, top[j]);
    result.undefined |= undefined[j] != 0;
  }
  return result;
}

}  // namespace

void undefined_scores() {
  throw Error("the model's scores are not all numbers", "generate", "check the weights, or set remove_invalid_values");
}

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
  const size_t size = scores.size();
  float top = kBarred;
  bool undefined = false;
  size_t at = size;  // a block that holds the first largest
  for (size_t begin = 0; begin < size; begin += kBlock) {
    const size_t count = std::min(kBlock, size - begin);
    const BlockMax block = max_of(scores.data() + begin, count);
    undefined |= block.undefined;
    if (block.value > top) {
      top = block.value;
      at = begin;
    }
  }
  if (undefined) undefined_scores();
  if (at == size) return -1;
  while (scores[at] != top) ++at;
  return static_cast<int64_t>(at);
}

// One pass with a bar: what doesn't pass it is out, and it is raised to the count-th best whenever enough candidates
// have gathered. The pass goes in the order in which equal scores are wanted, so an equal one never passes. Blocks
// whose largest doesn't pass are skipped, which are nearly all.
void largest(std::span<const float> scores, int64_t count, std::vector<int64_t>& indices, bool later_first) {
  const auto before = [&](int64_t a, int64_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x > y || (x == y && (later_first ? a > b : a < b));
  };
  const size_t size = scores.size();
  const size_t wanted = static_cast<size_t>(std::min(count, static_cast<int64_t>(size)));
  const size_t room = std::min(size, 2 * wanted + 64);
  indices.clear();
  indices.reserve(room);
  if (wanted == 0) return;
  bool barred = false;
  float bar = 0;
  const auto look_at = [&](size_t i) {
    if (barred && scores[i] <= bar) return;
    indices.push_back(static_cast<int64_t>(i));
    if (indices.size() < room || room == size) return;
    std::nth_element(indices.begin(), indices.begin() + static_cast<ptrdiff_t>(wanted) - 1, indices.end(), before);
    indices.resize(wanted);
    bar = scores[static_cast<size_t>(indices.back())];
    barred = true;
  };
  const size_t blocks = (size + kBlock - 1) / kBlock;
  for (size_t b = 0; b < blocks; ++b) {
    const size_t begin = kBlock * (later_first ? blocks - 1 - b : b);
    const size_t block = std::min(kBlock, size - begin);
    if (barred && max_of(scores.data() + begin, block).value <= bar) continue;
    for (size_t i = 0; i < block; ++i) look_at(later_first ? begin + block - 1 - i : begin + i);
  }
  std::sort(indices.begin(), indices.end(), before);
  if (indices.size() > wanted) indices.resize(wanted);
}

int64_t draw(std::span<const float> weights, double u) {
  // Four sums at a time, in one fixed order.
  double sums[4] = {};
  size_t first = 0;
  for (; first + 4 <= weights.size(); first += 4) {
    for (size_t j = 0; j < 4; ++j) sums[j] += static_cast<double>(weights[first + j]);
  }
  for (; first < weights.size(); ++first) sums[0] += static_cast<double>(weights[first]);
  const double total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
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
