// The next token from logits, plainly: an order of all tokens, cut from its end, and a walk along the line.

#include "mica/kernels/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/random.h"

namespace mica {
namespace {

constexpr float kBarred = -std::numeric_limits<float>::infinity();

struct Row {
  std::vector<float> scores, probabilities;

  // Of what is not barred.
  void weigh() {
    const float top = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      probabilities[i] = std::exp(scores[i] - top);
      sum += static_cast<double>(probabilities[i]);
    }
    for (float& each : probabilities) each = static_cast<float>(static_cast<double>(each) / sum);
  }
};

uint64_t share(float probability) {
  return static_cast<uint64_t>(probability * 0x1p52F);
}

int64_t choose_one(std::span<const float> logits, const SamplingRule& rule, uint64_t stream, uint64_t index) {
  const size_t size = logits.size();
  size_t best = 0;
  for (size_t i = 0; i < size; ++i) {
    if (std::isnan(logits[i])) return static_cast<int64_t>(NoToken::undefined);
    if (logits[i] > logits[best]) best = i;
  }
  if (size == 0 || logits[best] == kBarred) return static_cast<int64_t>(NoToken::all_barred);
  if (!rule.sample) return static_cast<int64_t>(best);
  if (std::isinf(logits[best])) return static_cast<int64_t>(rule.cuts() ? NoToken::infinite : NoToken::undefined);

  Row row{{logits.begin(), logits.end()}, std::vector<float>(size)};
  for (float& each : row.scores) each /= rule.temperature;
  // Largest first, of equal ones the later.
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return row.scores[a] > row.scores[b] || (row.scores[a] == row.scores[b] && a > b);
  });
  if (rule.top_k > 0 && static_cast<size_t>(rule.top_k) < size) {
    const float bar = row.scores[order[static_cast<size_t>(rule.top_k) - 1]];
    for (float& each : row.scores) each = each < bar ? kBarred : each;
  }
  row.weigh();
  if (rule.top_p < 1) {
    uint64_t sum = 0;
    for (size_t k = 0; k < size; ++k) {
      if (k > 0 && !(static_cast<float>(sum) * 0x1p-52F < rule.top_p)) row.scores[order[k]] = kBarred;
      sum += share(row.probabilities[order[k]]);
    }
    row.weigh();
  }
  if (rule.min_p >= 0) {
    const float most = *std::max_element(row.probabilities.begin(), row.probabilities.end());
    const float bar = rule.min_p * most;
    for (size_t i = 0; i < size; ++i) {
      if (row.probabilities[i] < bar && row.probabilities[i] < most) row.scores[i] = kBarred;
    }
    row.weigh();
  }
  uint64_t total = 0;
  for (const float each : row.probabilities) total += share(each);
  const uint64_t bits =
      (uint64_t{philox_word(rule.seed, stream, index)} << 32 | philox_word(rule.seed, stream, index + 1)) >> 11;
  const auto target = static_cast<uint64_t>(static_cast<double>(bits) * 0x1p-53 * static_cast<double>(total));
  uint64_t sum = 0;
  size_t last = best;
  for (size_t i = 0; i < size; ++i) {
    if (share(row.probabilities[i]) == 0) continue;
    sum += share(row.probabilities[i]);
    last = i;
    if (target < sum) break;
  }
  return static_cast<int64_t>(last);
}

}  // namespace

void CpuSampling::choose(const View& logits, const SamplingRule& rule, const View& streams, const View& indices,
                         const View& tokens) {
  const auto size = static_cast<size_t>(logits.size(1));
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const std::span<const float> row(logits.as<const float>() + i * logits.stride(0), size);
    tokens.as<int64_t>()[i] = choose_one(row, rule, static_cast<uint64_t>(streams.as<const int64_t>()[i]),
                                         static_cast<uint64_t>(indices.as<const int64_t>()[i]));
  }
}

}  // namespace mica
