#include "mica/kernels/cpu/simd/attention_parts.h"

#include <cmath>
#include <limits>

#include "mica/kernels/cpu/simd/random.h"
#include "mica/kernels/random.h"

namespace mica::cpu::simd {

RowEnd end_row(const AttentionArguments& a, int64_t head, double largest, float sum) {
  const bool blind = sum == 0;  // else the largest alone gave 1, or a NaN its NaN
  if (!a.sinks) {
    if (blind) return {true, 1, std::numeric_limits<float>::lowest()};
    return {false, 1 / sum, static_cast<float>(largest + std::log(double{sum}))};
  }
  const float sink = a.sinks.as<const float>()[head * a.sinks.stride(0)];
  if (blind) return {true, 1, sink};
  const double top = std::max(largest, double{sink});
  const double share = std::exp(largest - top);
  const double all = double{sum} * share + std::exp(double{sink} - top);
  return {false, static_cast<float>(share / all), static_cast<float>(top + std::log(all))};
}

void make_mask(const AttentionArguments& a, const Sequence& s, const KeyRange& range, float* mask) {
  const auto* visible = a.key_mask.as<const uint8_t>() + (s.key_begin + range.begin) * a.key_mask.stride(0);
  for (int64_t k = 0; k < range.size(); ++k)
    mask[k] = visible[k * a.key_mask.stride(0)] != 0 ? 0 : -std::numeric_limits<float>::infinity();
}

ScoreRows score_task(const AttentionArguments& a, const Sequence& s, int64_t sequence, int64_t head, int64_t first,
                     int64_t rows, const float* mask) {
  ScoreRows task;
  task.rows = rows;
  // Capped scores are scaled already.
  const bool capped = a.softcap > 0;
  task.prepare = a.bias || a.key_mask || a.alibi_slopes || !(a.scale > 0 || capped);
  task.scale = capped ? 1 : a.scale;
  task.exponent = task.prepare ? 1 : task.scale;
  if (a.bias) {
    const View& bias = a.bias;
    task.bias_row = bias.size(2) == 1 ? 0 : bias.stride(2);
    task.bias = bias.as<const float>() + (bias.size(0) == 1 ? 0 : sequence * bias.stride(0)) +
                (bias.size(1) == 1 ? 0 : head * bias.stride(1)) + first * task.bias_row;
  }
  task.mask = a.key_mask ? mask : nullptr;
  if (a.alibi_slopes) task.slope = a.alibi_slopes.as<const float>()[head * a.alibi_slopes.stride(0)];
  task.reach = Reach(a);
  task.position = first + s.keys - s.queries;
  task.all_keys = s.keys;
  task.sinks = bool{a.sinks};
  return task;
}

void dropout_factors(const AttentionArguments& a, const Sequence& s, int64_t sequence, int64_t head, int64_t query,
                     int64_t first_key, int64_t count, float* factors) {
  const Dropout dropout{.p = static_cast<double>(a.dropout),
                        .seed = a.seed,
                        .stream = static_cast<uint64_t>(sequence * a.query.size(1) + head)};
  std::fill_n(factors, count, 1.0F);
  drop_elements(dropout, static_cast<uint64_t>(query * s.keys + first_key), factors, nullptr, factors, count);
}

}  // namespace mica::cpu::simd
