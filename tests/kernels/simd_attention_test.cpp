// Attention against a float64 reference: odd sizes, strided operands, masks, bias, grouped heads, long sequences; and
// the same bits for a sequence whatever stands beside it.

#include <limits>
#include <numeric>

#include "mica/kernels/cpu/convert.h"
#include "mica/kernels/cpu/simd/attention.h"
#include "mica/kernels/cpu/simd/packed_linear.h"
#include "mica/tests/kernels/simd_support.h"

namespace mica {
namespace {

struct Case {
  std::vector<int32_t> queries, keys;  // of each sequence
  int64_t heads = 2, key_heads = 2, size = 32, value_size = 32;
  float scale = 0.2F;
  bool causal = false, mask = false;
  std::array<int64_t, 3> bias = {0, 0, 0};  // count, heads, queries; 0: no bias
  int64_t window = 0;
  float softcap = 0;
  bool alibi = false, sinks = false;
  DType cached = DType::float32;  // of keys and values
  int32_t gap = 0;                // rows before each sequence's keys, which then stand in backward order
};

struct Operands {
  std::vector<float> query, key, value, bias, slopes, sinks;
  std::vector<uint16_t> narrow_key, narrow_value;
  std::vector<uint8_t> mask;
  std::vector<int32_t> query_offsets = {0}, key_offsets = {0}, key_lengths;
  int64_t key_rows = 0;
  AttentionArguments arguments;

  explicit Operands(const Case& c, uint32_t seed = 1) {
    for (const int32_t n : c.queries) query_offsets.push_back(query_offsets.back() + n);
    for (const int32_t n : c.keys) key_offsets.push_back(key_offsets.back() + n);
    key_rows = key_offsets.back();
    if (c.gap > 0) {
      key_lengths = c.keys;
      key_offsets.assign(c.keys.size(), 0);
      key_rows = 0;
      for (size_t i = c.keys.size(); i-- > 0;) {
        key_offsets[i] = static_cast<int32_t>(key_rows) + c.gap;
        key_rows = key_offsets[i] + c.keys[i];
      }
    }
    const int64_t rows = query_offsets.back();
    const int64_t longest = *std::max_element(c.keys.begin(), c.keys.end());
    // Rows wider than they need be, as slices of a fused projection are.
    query = random_floats(rows * (c.heads * c.size + 3), seed);
    key = random_floats(key_rows * (c.key_heads * c.size + 5), seed + 1);
    value = random_floats(key_rows * (c.key_heads * c.value_size + 7), seed + 2);
    arguments.query = view(query, rows, c.heads, c.size, c.heads * c.size + 3);
    arguments.key = view(key, key_rows, c.key_heads, c.size, c.key_heads * c.size + 5);
    arguments.value = view(value, key_rows, c.key_heads, c.value_size, c.key_heads * c.value_size + 7);
    arguments.query_segments = {query_offsets, query_offsets.data()};
    arguments.key_segments = {key_offsets, key_offsets.data(), key_lengths, key_lengths.data()};
    arguments.window = c.window;
    arguments.softcap = c.softcap;
    slopes = random_floats(c.heads, seed + 4, 0.1F);
    sinks = random_floats(c.heads, seed + 5);
    if (c.alibi) arguments.alibi_slopes = row_vector(slopes);
    if (c.sinks) arguments.sinks = row_vector(sinks);
    for (int64_t k = 0; k < key_rows; ++k) {
      if (owned(k)) continue;
      std::fill_n(key.begin() + k * arguments.key.stride(0), arguments.key.stride(0), NAN);
      std::fill_n(value.begin() + k * arguments.value.stride(0), arguments.value.stride(0), NAN);
    }
    arguments.scale = c.scale;
    arguments.causal = c.causal;
    if (c.cached != DType::float32) {
      narrow(key, narrow_key, arguments.key, c.cached);
      narrow(value, narrow_value, arguments.value, c.cached);
    }
    if (c.mask) {
      std::mt19937 generator(seed);
      for (int64_t k = 0; k < key_rows; ++k) mask.push_back(generator() % 3 != 0 ? 1 : 0);
      // The first sequence sees nothing at all.
      std::fill_n(mask.begin() + key_offsets[0], c.keys[0], uint8_t{0});
      arguments.key_mask = {
          .data = mask.data(), .dtype = DType::boolean, .rank = 1, .shape = {key_rows}, .strides = {1}};
    }
    if (c.bias[0] > 0) {
      const auto [count, bias_heads, bias_queries] = c.bias;
      bias = random_floats(count * bias_heads * bias_queries * longest, seed + 3);
      arguments.bias = {.data = bias.data(),
                        .dtype = DType::float32,
                        .rank = 4,
                        .shape = {count, bias_heads, bias_queries, longest},
                        .strides = {bias_heads * bias_queries * longest, bias_queries * longest, longest, 1}};
    }
  }

  // Rounds x, and lets the view look at the rounded numbers in their own dtype.
  static void narrow(std::vector<float>& x, std::vector<uint16_t>& to, View& view, DType dtype) {
    const auto count = static_cast<int64_t>(x.size());
    to.resize(x.size());
    cpu::convert(x.data(), DType::float32, 1, to.data(), dtype, 1, count);
    cpu::convert(to.data(), dtype, 1, x.data(), DType::float32, 1, count);
    view.data = to.data();
    view.dtype = dtype;
  }

  bool owned(int64_t key_row) const {
    for (size_t i = 0; i < key_lengths.size(); ++i)
      if (key_row >= key_offsets[i] && key_row < key_offsets[i] + key_lengths[i]) return true;
    return key_lengths.empty();
  }

  static View view(std::vector<float>& data, int64_t rows, int64_t heads, int64_t size, int64_t row) {
    return {.data = data.data(),
            .dtype = DType::float32,
            .rank = 3,
            .shape = {rows, heads, size},
            .strides = {row, size, 1}};
  }
};

struct Result {
  std::vector<float> output, log_sum_exp;
};

Result run(const Case& c, Operands& operands, bool bfloat16 = false) {
  const int64_t rows = operands.query_offsets.back();
  Result result;
  result.output.assign(static_cast<size_t>(rows * c.heads * c.value_size), NAN);
  result.log_sum_exp.assign(static_cast<size_t>(rows * c.heads), NAN);
  cpu::simd::attention_forward(operands.arguments,
                               Operands::view(result.output, rows, c.heads, c.value_size, c.heads * c.value_size),
                               matrix(result.log_sum_exp, c.heads, rows, rows), bfloat16);
  return result;
}

// A score is a sum of `size` products, so it errs by at most size * eps * scale * sum |q||k| (plus a few roundings of
// its own size); a weight by that relatively, twice, and by 4e-7 of the exponential and the sums over keys; the result
// is a mean of values under these weights.
void expect_attention(const Case& c) {
  Operands operands(c);
  const Result result = run(c, operands);
  const AttentionArguments& a = operands.arguments;
  constexpr double kEpsilon = 1.0 / (1 << 24);
  for (size_t s = 0; s < c.queries.size(); ++s) {
    const int64_t queries = c.queries[s], keys = c.keys[s];
    for (int64_t head = 0; head < c.heads; ++head) {
      const int64_t key_head = head / (c.heads / c.key_heads);
      for (int64_t q = 0; q < queries; ++q) {
        const int64_t row = operands.query_offsets[s] + q;
        std::vector<double> score(static_cast<size_t>(keys));
        double largest = -INFINITY, error = 0;
        for (int64_t k = 0; k < keys; ++k) {
          const int64_t key_row = operands.key_offsets[s] + k;
          const float* x = a.query.as<float>() + row * a.query.stride(0) + head * c.size;
          const float* y = operands.key.data() + key_row * a.key.stride(0) + key_head * c.size;
          double dot = 0, magnitude = 0;
          for (int64_t i = 0; i < c.size; ++i) {
            dot += double{x[i]} * double{y[i]};
            magnitude += std::abs(double{x[i]} * double{y[i]});
          }
          double t = double{c.scale} * dot;
          // tanh errs by 3e-7 of itself.
          if (c.softcap > 0) t = double{c.softcap} * std::tanh(t / double{c.softcap});
          if (c.softcap > 0) error = std::max(error, 5e-7 * std::abs(t));
          const int64_t back = q + keys - queries - k;
          if (c.alibi) t -= double{operands.slopes[static_cast<size_t>(head)]} * static_cast<double>(back);
          if (a.bias) {
            const int64_t at = (c.bias[0] == 1 ? 0 : static_cast<int64_t>(s)) * a.bias.stride(0) +
                               (c.bias[1] == 1 ? 0 : head) * a.bias.stride(1) +
                               (c.bias[2] == 1 ? 0 : q) * a.bias.stride(2);
            t += double{operands.bias[static_cast<size_t>(at + k)]};
          }
          error = std::max(error, kEpsilon * (static_cast<double>(c.size) * std::abs(double{c.scale}) * magnitude +
                                              4 * std::abs(t)));
          if (c.mask && operands.mask[static_cast<size_t>(key_row)] == 0) t = -INFINITY;
          if (c.causal && back < 0) t = -INFINITY;
          if (c.window > 0 && (c.causal ? back >= c.window : std::abs(back) > c.window)) t = -INFINITY;
          score[static_cast<size_t>(k)] = t;
          largest = std::max(largest, t);
        }
        const double sink = c.sinks ? double{operands.sinks[static_cast<size_t>(head)]} : -INFINITY;
        largest = std::max(largest, sink);
        const bool blind = !std::isfinite(largest);
        double sum = blind ? 0 : std::exp(sink - largest);
        for (double& t : score) {
          t = blind ? 1 : std::exp(t - largest);
          sum += t;
        }
        const double total =
            double{result.log_sum_exp[static_cast<size_t>(head * operands.query_offsets.back() + row)]};
        if (blind) {
          ASSERT_EQ(total, double{std::numeric_limits<float>::lowest()});
        } else {
          ASSERT_NEAR(total, largest + std::log(sum), error + 1e-6 * (1 + std::abs(largest)));
        }
        for (int64_t i = 0; i < c.value_size; ++i) {
          double exact = 0, magnitude = 0;
          for (int64_t k = 0; k < keys; ++k) {
            const float v = operands.value[static_cast<size_t>((operands.key_offsets[s] + k) * a.value.stride(0) +
                                                               key_head * c.value_size + i)];
            exact += score[static_cast<size_t>(k)] / sum * double{v};
            magnitude += score[static_cast<size_t>(k)] / sum * std::abs(double{v});
          }
          const double tolerance = magnitude * (2 * error + 4e-7 + kEpsilon * static_cast<double>(keys)) + 1e-30;
          ASSERT_NEAR(result.output[static_cast<size_t>((row * c.heads + head) * c.value_size + i)], exact, tolerance)
              << "sequence " << s << ", head " << head << ", query " << q << ", element " << i;
        }
      }
    }
  }
}

TEST(SimdAttention, Sizes) {
  for_each_target([] {
    for (const int64_t size : {1, 5, 16, 17, 32, 40, 64, 80, 128, 256})
      expect_attention({.queries = {3, 17, 1, 20}, .keys = {3, 17, 1, 20}, .size = size, .value_size = size});
    expect_attention({.queries = {9}, .keys = {50}, .size = 24, .value_size = 10});
    expect_attention({.queries = {40, 0, 2}, .keys = {40, 7, 0}});
  });
}

TEST(SimdAttention, LongSequencesMeetTheirKeysInBlocks) {
  for_each_target([] {
    for (const int32_t keys : {527, 528, 529, 1100}) {
      expect_attention({.queries = {20}, .keys = {keys}, .heads = 1, .key_heads = 1});
      expect_attention(
          {.queries = {20}, .keys = {keys}, .heads = 1, .key_heads = 1, .causal = true, .mask = keys == 529});
    }
  });
}

TEST(SimdAttention, MasksBiasAndGroups) {
  for_each_target([] {
    const std::vector<int32_t> lengths = {5, 33, 18};
    for (const bool causal : {false, true}) {
      for (const bool mask : {false, true}) {
        expect_attention(
            {.queries = lengths, .keys = lengths, .heads = 6, .key_heads = 2, .causal = causal, .mask = mask});
        expect_attention({.queries = lengths, .keys = lengths, .causal = causal, .mask = mask, .bias = {3, 2, 33}});
        expect_attention({.queries = lengths, .keys = lengths, .causal = causal, .mask = mask, .bias = {1, 1, 33}});
        expect_attention({.queries = lengths, .keys = lengths, .causal = causal, .mask = mask, .bias = {3, 1, 1}});
      }
    }
    // More queries than keys: the first ones see nothing. Fewer: the cache was filled before.
    expect_attention({.queries = {12}, .keys = {7}, .causal = true});
    expect_attention({.queries = {3}, .keys = {30}, .causal = true});
    expect_attention({.queries = lengths, .keys = lengths, .scale = -0.3F});
  });
}

TEST(SimdAttention, Windows) {
  for_each_target([] {
    const std::vector<int32_t> lengths = {5, 200, 18};
    for (const bool causal : {false, true}) {
      for (const int64_t window : {1, 7, 48, 60, 5000}) {
        for (const bool more : {false, true}) {
          expect_attention({.queries = lengths,
                            .keys = lengths,
                            .heads = 2,
                            .key_heads = 1,
                            .causal = causal,
                            .mask = more,
                            .bias = {more ? 3 : 0, 1, 1},
                            .window = window,
                            .alibi = more,
                            .sinks = more});
        }
      }
      // Past blocks of keys, with a window that ends inside of one.
      expect_attention({.queries = {20}, .keys = {1700}, .heads = 1, .key_heads = 1, .causal = causal, .window = 611});
      expect_attention({.queries = {700}, .keys = {700}, .heads = 1, .key_heads = 1, .causal = causal, .window = 90});
    }
    // Some queries stand before all keys.
    expect_attention({.queries = {40}, .keys = {7}, .window = 3});
    expect_attention({.queries = {40}, .keys = {7}, .window = 3, .sinks = true});
  });
}

TEST(SimdAttention, SoftcapAlibiAndSinks) {
  for_each_target([] {
    const std::vector<int32_t> lengths = {5, 33, 90};
    // Over a block of keys.
    expect_attention({.queries = {1, 9}, .keys = {1, 600}, .mask = true, .softcap = 2, .alibi = true, .sinks = true});
    for (const bool mask : {false, true}) {
      expect_attention({.queries = lengths, .keys = lengths, .causal = true, .mask = mask, .softcap = 1.5F});
      expect_attention({.queries = lengths, .keys = lengths, .scale = -0.3F, .mask = mask, .softcap = 0.5F});
      expect_attention({.queries = lengths, .keys = lengths, .causal = true, .mask = mask, .alibi = true});
      expect_attention({.queries = lengths, .keys = lengths, .mask = mask, .sinks = true});
      expect_attention({.queries = lengths,
                        .keys = lengths,
                        .heads = 6,
                        .key_heads = 2,
                        .mask = mask,
                        .bias = {1, 6, 1},
                        .softcap = 2,
                        .alibi = true,
                        .sinks = true});
    }
  });
}

TEST(SimdAttention, KeysWithGaps) {
  for_each_target([] {
    for (const bool more : {false, true}) {
      expect_attention({.queries = {1, 1, 3, 0},
                        .keys = {70, 1, 20, 4},
                        .heads = 4,
                        .key_heads = 2,
                        .causal = true,
                        .mask = more,
                        .bias = {more ? 4 : 0, 1, 1},
                        .window = more ? 9 : 0,
                        .gap = 13});
    }
  });
}

// A few queries to many keys take a way of their own.
TEST(SimdAttention, Decoding) {
  for_each_target([] {
    for (const DType cached : {DType::float32, DType::bfloat16, DType::float16}) {
      for (const int64_t size : {1, 5, 16, 17, 40, 64, 80, 128, 192}) {
        expect_attention(
            {.queries = {1, 3}, .keys = {37, 50}, .heads = 4, .size = size, .value_size = size, .cached = cached});
      }
      for (const int64_t group : {1, 2, 3, 4, 5, 8, 11}) {
        expect_attention({.queries = {1, 2, 4},
                          .keys = {16, 35, 70},
                          .heads = 2 * group,
                          .key_heads = 2,
                          .size = 24,
                          .value_size = 72,
                          .causal = true,
                          .cached = cached});
      }
      // Beside sequences that go the usual way: of many queries, of few keys, of none.
      expect_attention({.queries = {40, 1, 1, 0, 1, 2},
                        .keys = {40, 90, 15, 3, 0, 60},
                        .heads = 4,
                        .key_heads = 2,
                        .causal = true,
                        .mask = true,
                        .cached = cached,
                        .gap = 3});
    }
    for (const int32_t keys : {511, 512, 513, 1600}) {
      for (const bool more : {false, true}) {
        expect_attention({.queries = {2, 1},
                          .keys = {keys, 100},
                          .heads = 6,
                          .key_heads = 2,
                          .causal = true,
                          .mask = more,
                          .window = more ? 700 : 0,
                          .softcap = more ? 3.0F : 0,
                          .alibi = more,
                          .sinks = more,
                          .cached = more ? DType::bfloat16 : DType::float32,
                          .gap = 2});
        expect_attention({.queries = {4}, .keys = {keys}, .scale = -0.2F, .mask = more, .bias = {1, 2, 4}});
        expect_attention({.queries = {1}, .keys = {keys}, .causal = more, .window = 20});
      }
    }
    // Everything hidden, with and without sinks, over several pieces.
    for (const bool sinks : {false, true})
      expect_attention({.queries = {1, 1}, .keys = {1100, 20}, .mask = true, .sinks = sinks, .cached = DType::float16});
  });
}

TEST(SimdAttention, DecodingGivesTheSameBitsForAnyThreadsAndAnyBatch) {
  for_each_target([] {
    Case c{.queries = {1, 3, 40, 1, 2}, .keys = {1700, 80, 40, 600, 513}, .heads = 6, .key_heads = 2, .gap = 4};
    Operands operands(c);
    set_num_threads(1);
    const Result all = run(c, operands);
    for_thread_counts([&] {
      const Result again = run(c, operands);
      EXPECT_EQ(again.output, all.output);
      EXPECT_EQ(again.log_sum_exp, all.log_sum_exp);
      for (size_t s = 0; s < c.queries.size(); ++s) {
        Operands alone = operands;
        const std::span<const int32_t> count(&c.queries[s], 1), first(&operands.query_offsets[s], 1);
        alone.arguments.query_segments = {first, first.data(), count, count.data()};
        alone.arguments.key_segments.host = alone.arguments.key_segments.host.subspan(s, 1);
        alone.arguments.key_segments.lengths = alone.arguments.key_segments.lengths.subspan(s, 1);
        const Result one = run(c, alone);
        const int64_t row = c.heads * c.value_size, from = first[0] * row, to = from + count[0] * row;
        EXPECT_TRUE(std::equal(one.output.begin() + from, one.output.begin() + to, all.output.begin() + from)) << s;
      }
    });
  });
}

TEST(SimdAttention, DecodingLetsNotANumberThrough) {
  Case c{.queries = {1}, .keys = {1100}, .heads = 2, .key_heads = 1};
  Operands operands(c);
  operands.key[40] = NAN;
  for (const float x : run(c, operands).output) EXPECT_TRUE(std::isnan(x));
}

TEST(SimdAttention, LowestBiasHidesAsInfinityDoes) {
  Case c{.queries = {4}, .keys = {4}, .bias = {1, 1, 1}};
  Operands operands(c);
  operands.bias = {0, std::numeric_limits<float>::lowest(), 0, -INFINITY};
  operands.arguments.bias.data = operands.bias.data();
  const Result hidden = run(c, operands);
  for (const float x : hidden.output) EXPECT_TRUE(std::isfinite(x));
  // All lowest: all alike.
  operands.bias.assign(4, std::numeric_limits<float>::lowest());
  const Result alike = run(c, operands);
  const AttentionArguments& a = operands.arguments;
  for (int64_t i = 0; i < c.size; ++i) {
    double mean = 0;
    for (int64_t k = 0; k < 4; ++k) mean += double{a.value.as<float>()[k * a.value.stride(0) + i]} / 4;
    EXPECT_NEAR(alike.output[static_cast<size_t>(i)], mean, 1e-6);
  }
}

TEST(SimdAttention, NotANumberReachesTheOutput) {
  Case c{.queries = {9}, .keys = {9}, .heads = 1, .key_heads = 1};
  Operands operands(c);
  operands.key[40] = NAN;
  for (const float x : run(c, operands).output) EXPECT_TRUE(std::isnan(x));
}

struct Gradients {
  std::vector<float> query, key, value;
  bool operator==(const Gradients&) const = default;
};

Gradients run_backward(const Case& c, Operands& operands, Result& forward, std::vector<float>& d_output) {
  const int64_t rows = operands.query_offsets.back(), key_rows = operands.key_rows;
  Gradients d;
  d.query.assign(static_cast<size_t>(rows * c.heads * c.size), NAN);
  d.key.assign(static_cast<size_t>(key_rows * c.key_heads * c.size), NAN);
  d.value.assign(static_cast<size_t>(key_rows * c.key_heads * c.value_size), NAN);
  const auto of_rows = [&](std::vector<float>& data, int64_t n, int64_t heads, int64_t size) {
    return Operands::view(data, n, heads, size, heads * size);
  };
  cpu::simd::attention_backward(operands.arguments, of_rows(forward.output, rows, c.heads, c.value_size),
                                matrix(forward.log_sum_exp, c.heads, rows, rows),
                                of_rows(d_output, rows, c.heads, c.value_size), of_rows(d.query, rows, c.heads, c.size),
                                of_rows(d.key, key_rows, c.key_heads, c.size),
                                of_rows(d.value, key_rows, c.key_heads, c.value_size));
  return d;
}

// The gradient along a direction against the difference quotient of the forward pass in that direction, of a function
// that is the sum of output * d_output: sums in double, steps so large that float32 does not drown them.
TEST(SimdAttention, BackwardFollowsTheDifferenceQuotient) {
  for_each_target([] {
    for (const float dropout : {0.0F, 0.3F}) {
      for (const bool masked : {false, true}) {
        Case c{.queries = {5, 33, 18}, .keys = {7, 33, 50}, .heads = 4, .key_heads = 2, .size = 20, .value_size = 24};
        c.causal = c.mask = masked;
        if (masked) c.bias = {3, 1, 33};
        if (masked) c.keys = c.queries;
        Operands operands(c);
        // A query that sees nothing has a gradient all the same, that of equal weights: not what a quotient shows.
        if (masked)
          for (size_t i = 0; i < c.keys.size(); ++i) operands.mask[static_cast<size_t>(operands.key_offsets[i])] = 1;
        operands.arguments.dropout = dropout;
        operands.arguments.seed = 99;
        Result forward = run(c, operands);
        std::vector<float> d_output = random_floats(static_cast<int64_t>(forward.output.size()), 20);
        const Gradients d = run_backward(c, operands, forward, d_output);
        const auto value = [&] {
          const Result result = run(c, operands);
          double sum = 0;
          for (size_t i = 0; i < d_output.size(); ++i) sum += double{result.output[i]} * double{d_output[i]};
          return sum;
        };
        const auto check = [&](std::vector<float>& x, const std::vector<float>& gradient, int64_t row, int64_t used) {
          const std::vector<float> before = x, direction = random_floats(static_cast<int64_t>(x.size()), 21);
          double exact = 0, norm = 0;
          for (size_t i = 0; i < gradient.size(); ++i) {
            const auto at = static_cast<size_t>(static_cast<int64_t>(i) / used * row + static_cast<int64_t>(i) % used);
            exact += double{gradient[i]} * double{direction[at]};
            norm += double{gradient[i]} * double{gradient[i]};
          }
          constexpr float kStep = 1.0F / 256;
          double ends[2];
          for (const int side : {0, 1}) {
            for (size_t i = 0; i < x.size(); ++i) x[i] = before[i] + (side == 0 ? -kStep : kStep) * direction[i];
            ends[side] = value();
          }
          x = before;
          // The third derivative leaves kStep^2 of the size of the gradient; rounding, an epsilon of the value / kStep.
          EXPECT_NEAR((ends[1] - ends[0]) / (2 * double{kStep}), exact, 2e-3 * std::sqrt(norm) + 1e-3);
        };
        check(operands.query, d.query, c.heads * c.size + 3, c.heads * c.size);
        check(operands.key, d.key, c.key_heads * c.size + 5, c.key_heads * c.size);
        check(operands.value, d.value, c.key_heads * c.value_size + 7, c.key_heads * c.value_size);
        for_thread_counts([&] { EXPECT_EQ(run_backward(c, operands, forward, d_output), d); });
      }
    }
  });
}

// What no test of the forward pass shows: blocks of 32 queries that see a part of the keys, which begins and ends
// inside of panels. Against the sum over single queries, each run alone as the last of a sequence cut short.
TEST(SimdAttention, BackwardOfAWindowIsTheSumOverItsQueries) {
  for_each_target([] {
    Case c{.queries = {150}, .keys = {150}, .heads = 2, .key_heads = 1, .size = 20, .value_size = 12};
    c.causal = true;
    c.window = 33;
    c.softcap = 2;
    c.sinks = c.alibi = true;
    Operands operands(c);
    Result forward = run(c, operands);
    std::vector<float> d_output = random_floats(static_cast<int64_t>(forward.output.size()), 20);
    const Gradients d = run_backward(c, operands, forward, d_output);
    std::vector<double> d_key(d.key.size()), d_value(d.value.size());
    for (int32_t q = 0; q < 150; ++q) {
      const int32_t first = std::max(0, q - 32), keys = q + 1 - first;
      Case one = c;
      one.queries = {1};
      one.keys = {keys};
      one.window = 0;
      Operands alone = operands;
      alone.query_offsets = {0, 1};
      alone.key_offsets = {0, keys};
      alone.key_rows = keys;
      const auto move = [](View& view, int64_t row) { view.data = view.as<float>() + row * view.stride(0); };
      move(alone.arguments.query, q);
      move(alone.arguments.key, first);
      move(alone.arguments.value, first);
      alone.arguments.query_segments = {alone.query_offsets, alone.query_offsets.data()};
      alone.arguments.key_segments = {alone.key_offsets, alone.key_offsets.data()};
      alone.arguments.window = 0;
      Result output = run(one, alone);
      std::vector<float> part(d_output.begin() + q * 24, d_output.begin() + (q + 1) * 24);
      const Gradients g = run_backward(one, alone, output, part);
      for (size_t i = 0; i < g.key.size(); ++i) d_key[static_cast<size_t>(first) * 20 + i] += double{g.key[i]};
      for (size_t i = 0; i < g.value.size(); ++i) d_value[static_cast<size_t>(first) * 12 + i] += double{g.value[i]};
      // Sums of the same terms, of weights that err by some 1e-6.
      for (size_t i = 0; i < 40; ++i) ASSERT_NEAR(g.query[i], d.query[static_cast<size_t>(q) * 40 + i], 1e-5);
    }
    for (size_t i = 0; i < d_key.size(); ++i) ASSERT_NEAR(d.key[i], d_key[i], 1e-4);
    for (size_t i = 0; i < d_value.size(); ++i) ASSERT_NEAR(d.value[i], d_value[i], 1e-4);
  });
}

TEST(SimdAttention, Bfloat16ProductsStayClose) {
  if (cpu::simd::packed_dtype(DType::bfloat16) != DType::bfloat16) GTEST_SKIP() << "no instruction";
  for (const int64_t size : {17, 32, 64}) {
    Case c{.queries = {5, 33, 600}, .keys = {5, 33, 600}, .size = size, .value_size = size};
    Operands operands(c);
    const Result exact = run(c, operands), rounded = run(c, operands, true);
    // Scores err by 2^-8 of sum |q||k|, values and weights by 2^-9: a few percent of a unit at most.
    for (size_t i = 0; i < exact.output.size(); ++i) ASSERT_NEAR(rounded.output[i], exact.output[i], 0.03) << i;
  }
}

TEST(SimdAttention, SameBitsForAnyThreadsAndAnyBatch) {
  for_each_target([] {
    for (const bool mask : {false, true}) {
      Case c{.queries = {5, 600, 18, 64}, .keys = {5, 600, 18, 64}, .heads = 3, .key_heads = 3, .mask = mask};
      if (mask) c.window = 50;
      Operands operands(c);
      set_num_threads(1);
      const Result all = run(c, operands);
      for_thread_counts([&] {
        const Result again = run(c, operands);
        EXPECT_EQ(again.output, all.output);
        EXPECT_EQ(again.log_sum_exp, all.log_sum_exp);
        for (size_t s = 0; s < c.queries.size(); ++s) {
          Operands alone = operands;
          const int32_t first = operands.query_offsets[s];
          alone.query_offsets = alone.key_offsets = {0, c.queries[s]};
          const auto skip = [&](View& view) {
            if (!view) return;
            view.data = static_cast<char*>(view.data) + first * view.stride(0) * item_size(view.dtype);
            view.shape[0] = c.queries[s];
          };
          for (View* view :
               {&alone.arguments.query, &alone.arguments.key, &alone.arguments.value, &alone.arguments.key_mask})
            skip(*view);
          alone.arguments.query_segments =
              alone.arguments.key_segments = {alone.query_offsets, alone.query_offsets.data()};
          const Result one = run(c, alone);
          EXPECT_TRUE(
              std::equal(one.output.begin(), one.output.end(), all.output.begin() + first * c.heads * c.value_size));
        }
      });
    }
  });
}

}  // namespace
}  // namespace mica
