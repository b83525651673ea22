// Attention of float32, float16 and bfloat16 beside float64, over sizes, options and lengths that reach every tile:
// whole and ragged, masked and not, few queries over many keys. The bounds are those of the roundings: u = half an
// epsilon of the type for each weight, each gradient of a score and each result, and float32 between them.

#include <algorithm>
#include <cmath>
#include <limits>

#include "mica/kernels/attention.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

struct Case {
  std::string what;
  int64_t size = 64, heads = 2, key_heads = 2;
  std::vector<int32_t> queries{70, 0, 33}, keys{70, 5, 90};  // of each sequence
  bool causal = false, mask = false;
  int64_t window = 0;
  double softcap = 0;
  float dropout = 0;
  Shape bias{};
  bool alibi = false, sinks = false;
  int64_t value_size = 0;    // 0: size
  bool lowest_bias = false;  // the bias of every other key
  bool gaps = false;         // the keys' sequences in reverse order, with rows between them

  int64_t values() const { return value_size > 0 ? value_size : size; }
  int64_t count() const { return static_cast<int64_t>(queries.size()); }
  int64_t query_rows() const { return first_query(count()); }
  int64_t first_query(int64_t s) const {
    int64_t sum = 0;
    for (int64_t i = 0; i < s; ++i) sum += queries[static_cast<size_t>(i)];
    return sum;
  }
  int64_t first_key(int64_t s) const {
    int64_t sum = 0;
    for (int64_t i = 0; i < count(); ++i) {
      if (gaps ? i > s : i < s) sum += keys[static_cast<size_t>(i)] + (gaps ? 3 : 0);
    }
    return sum;
  }
  int64_t key_rows() const {
    int64_t rows = 1;
    for (int64_t s = 0; s < count(); ++s) rows = std::max(rows, first_key(s) + keys[static_cast<size_t>(s)]);
    return rows;
  }
};

constexpr uint64_t kSeed = 7;

// As doubles that the type holds exactly.
struct Inputs {
  std::vector<double> query, key, value, d_output, bias, slopes, sinks;
  std::vector<uint8_t> mask;
  float scale;
};

template <typename T>
constexpr DType kDType = std::is_same_v<T, float>     ? DType::float32
                         : std::is_same_v<T, float16> ? DType::float16
                                                      : DType::bfloat16;

template <typename T>
void round_to(std::vector<double>& x) {
  for (double& v : x) v = static_cast<double>(static_cast<float>(T(static_cast<float>(v))));
}

template <typename T, typename K>
Inputs make_inputs(const Case& c) {
  const double lowest = std::is_same_v<T, float16> ? -65504.0 : -0x1.FEp127;
  Inputs in;
  in.query = numbers(c.query_rows() * c.heads * c.size, 1, -2, 2);
  in.key = numbers(c.key_rows() * c.key_heads * c.size, 2, -2, 2);
  in.value = numbers(c.key_rows() * c.key_heads * c.values(), 3);
  in.d_output = numbers(c.query_rows() * c.heads * c.values(), 4);
  if (!c.bias.empty()) in.bias = numbers(product_of(c.bias), 5, -2, 2);
  if (c.lowest_bias) {
    for (size_t i = 0; i < in.bias.size(); i += 2) in.bias[i] = lowest;
  }
  if (c.alibi) in.slopes = numbers(c.heads, 6, 0, 1);
  if (c.sinks) in.sinks = numbers(c.heads, 8, 0, 2);
  // Every third key is hidden, and the whole last sequence's.
  const int64_t last = c.first_key(c.count() - 1);
  for (int64_t k = 0; k < c.key_rows(); ++k) {
    in.mask.push_back(k % 3 == 1 || (c.count() > 2 && k >= last && k < last + c.keys.back()) ? 0 : 1);
  }
  // Rows that no sequence owns may hold anything.
  for (int64_t k = 0; k < c.key_rows(); ++k) {
    bool owned = false;
    for (int64_t s = 0; s < c.count(); ++s) {
      owned = owned || (k >= c.first_key(s) && k < c.first_key(s) + c.keys[static_cast<size_t>(s)]);
    }
    if (owned) continue;
    std::fill_n(in.key.begin() + k * c.key_heads * c.size, c.key_heads * c.size, NAN);
    std::fill_n(in.value.begin() + k * c.key_heads * c.values(), c.key_heads * c.values(), NAN);
  }
  for (auto* x : {&in.query, &in.d_output, &in.bias, &in.slopes, &in.sinks}) round_to<T>(*x);
  for (auto* x : {&in.key, &in.value}) round_to<K>(*x);
  in.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.size)));
  return in;
}

// A result, the sum of the magnitudes of what each rounding to the type may move, and the like for float32.
struct Sum {
  std::vector<double> value, rounded, single, tiny;
  explicit Sum(int64_t n = 0) : value(static_cast<size_t>(n)), rounded(value), single(value), tiny(value) {}
  void add(int64_t at, double x, double error, double steps) {
    const auto i = static_cast<size_t>(at);
    value[i] += x;
    rounded[i] += std::abs(x);
    single[i] += error;
    tiny[i] += steps;
  }
};

struct Results {
  Sum output, log_sum_exp, d_query, d_key, d_value, d_bias, d_sinks;
};

template <typename T>
Results expected(const Case& c, const Inputs& in) {
  const int64_t size = c.size, values = c.values(), group = c.heads / c.key_heads;
  Results r;
  r.output = Sum(c.query_rows() * c.heads * values);
  r.log_sum_exp = Sum(c.heads * c.query_rows());
  r.d_query = Sum(c.query_rows() * c.heads * size);
  r.d_key = Sum(c.key_rows() * c.key_heads * size);
  r.d_value = Sum(c.key_rows() * c.key_heads * values);
  r.d_bias = Sum(c.bias.empty() ? 0 : product_of(c.bias));
  r.d_sinks = Sum(c.sinks ? c.heads : 0);
  const double scale = static_cast<double>(in.scale);
  for (int64_t s = 0; s < c.count(); ++s) {
    const int64_t queries = c.queries[static_cast<size_t>(s)], keys = c.keys[static_cast<size_t>(s)];
    for (int64_t h = 0; h < c.heads; ++h) {
      for (int64_t q = 0; q < queries; ++q) {
        const int64_t row = (c.first_query(s) + q) * c.heads + h, p = q + keys - queries;
        const double* query = in.query.data() + row * size;
        const double* d_output = in.d_output.data() + row * values;
        std::vector<double> score(static_cast<size_t>(keys)), slope(score), weight(score), error(score), factor(score);
        const auto bias_at = [&](int64_t k) {
          return (((c.bias[0] == 1 ? 0 : s) * c.bias[1] + (c.bias[1] == 1 ? 0 : h)) * c.bias[2] +
                  (c.bias[2] == 1 ? 0 : q)) *
                     c.bias[3] +
                 k;
        };
        const auto key_row = [&](int64_t k) { return (c.first_key(s) + k) * c.key_heads + h / group; };
        double largest = c.sinks ? in.sinks[static_cast<size_t>(h)] : -INFINITY;
        for (int64_t k = 0; k < keys; ++k) {
          const auto i = static_cast<size_t>(k);
          double dot = 0, magnitude = 0;
          for (int64_t d = 0; d < size; ++d) {
            const double x = query[d] * in.key[static_cast<size_t>(key_row(k) * size + d)] * scale;
            dot += x;
            magnitude += std::abs(x);
          }
          slope[i] = 1;
          if (c.softcap > 0) {
            const double t = std::tanh(dot / c.softcap);
            dot = c.softcap * t;
            slope[i] = 1 - t * t;
          }
          if (!c.bias.empty()) dot += in.bias[static_cast<size_t>(bias_at(k))];
          if (c.alibi) dot += in.slopes[static_cast<size_t>(h)] * static_cast<double>(k - p);
          // Relative error of exp(score) in float32, the sum's included.
          error[i] = 0x1p-24 * (static_cast<double>(size) + 32) * (2 + magnitude + std::abs(dot));
          const int64_t back = p - k;
          const bool hidden = (c.mask && in.mask[static_cast<size_t>(c.first_key(s) + k)] == 0) ||
                              (c.causal && back < 0) ||
                              (c.window > 0 && (c.causal ? back >= c.window : std::abs(back) > c.window));
          score[i] = hidden ? -INFINITY : dot;
          largest = std::max(largest, score[i]);
          const double u = static_cast<double>(uniform_from_word(
              philox_word(kSeed, static_cast<uint64_t>(s * c.heads + h), static_cast<uint64_t>(q * keys + k))));
          factor[i] = u >= static_cast<double>(c.dropout) ? 1 / (1 - static_cast<double>(c.dropout)) : 0;
        }
        const bool blind = largest == -INFINITY;
        double total = c.sinks ? std::exp(in.sinks[static_cast<size_t>(h)] - largest) : 0;
        for (size_t i = 0; i < score.size(); ++i) total += weight[i] = blind ? 1 : std::exp(score[i] - largest);
        for (double& w : weight) w /= total;
        double widest = 0;
        for (size_t i = 0; i < error.size(); ++i) widest = std::max(widest, weight[i] > 0 ? error[i] : 0);
        r.log_sum_exp.add(h * c.query_rows() + c.first_query(s) + q, blind ? NAN : largest + std::log(total), widest,
                          0);

        for (int64_t k = 0; k < keys; ++k) {
          const auto i = static_cast<size_t>(k);
          for (int64_t d = 0; d < values; ++d) {
            const double v = in.value[static_cast<size_t>(key_row(k) * values + d)];
            r.output.add(row * values + d, weight[i] * factor[i] * v,
                         weight[i] * factor[i] * std::abs(v) * (error[i] + widest), std::abs(v));
          }
        }
        double along = 0, along_magnitude = 0;  // of the output as the type holds it
        for (int64_t d = 0; d < values; ++d) {
          const float exact = static_cast<float>(r.output.value[static_cast<size_t>(row * values + d)]);
          const double x = d_output[d] * static_cast<double>(static_cast<float>(T(exact)));
          along += x;
          along_magnitude += std::abs(x);
        }
        for (int64_t k = 0; k < keys; ++k) {
          const auto i = static_cast<size_t>(k);
          double d_weight = 0, magnitude = 0;
          for (int64_t d = 0; d < values; ++d) {
            const double x = d_output[d] * in.value[static_cast<size_t>(key_row(k) * values + d)] * factor[i];
            d_weight += x;
            magnitude += std::abs(x);
          }
          const double relative = error[i] + widest;
          const double d_score = weight[i] * (d_weight - along);
          const double d_error =
              weight[i] * ((magnitude + along_magnitude) * 0x1p-24 * (static_cast<double>(values) + 8) +
                           std::abs(d_weight - along) * relative);
          for (int64_t d = 0; d < size; ++d) {
            const double x = scale * in.key[static_cast<size_t>(key_row(k) * size + d)];
            r.d_query.add(row * size + d, d_score * slope[i] * x, d_error * std::abs(x), std::abs(x));
            const double y = scale * query[d];
            r.d_key.add(key_row(k) * size + d, d_score * slope[i] * y, d_error * std::abs(y), std::abs(y));
          }
          for (int64_t d = 0; d < values; ++d) {
            const double w = weight[i] * factor[i];
            r.d_value.add(key_row(k) * values + d, w * d_output[d], w * std::abs(d_output[d]) * relative,
                          std::abs(d_output[d]));
          }
          if (!c.bias.empty()) r.d_bias.add(bias_at(k), d_score, d_error, 0);
        }
        if (c.sinks) {
          const double w = std::exp(in.sinks[static_cast<size_t>(h)] - largest) / total;
          r.d_sinks.add(h, -w * along, w * (along_magnitude * 0x1p-20 + std::abs(along) * widest), 0);
        }
      }
    }
  }
  return r;
}

template <typename T>
Array<T> narrow_array(const Shape& shape, const std::vector<double>& values) {
  std::vector<T> out;
  for (const double v : values) out.push_back(T(static_cast<float>(v)));
  return Array<T>(shape, out);
}

// |got - want| within `roundings` roundings of the terms and one of the result, and float32's errors.
template <typename T>
void expect_within(const Array<T>& got, const Sum& want, double roundings, const std::string& what,
                   const std::vector<bool>& owned = {}) {
  const bool half = std::is_same_v<T, float16>;
  const double u = half ? 0x1p-11 : std::is_same_v<T, float> ? 0x1p-24 : 0x1p-8, step = half ? 0x1p-25 : 0;
  const auto values = got.values();
  ASSERT_EQ(values.size(), want.value.size()) << what;
  int wrong = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto g = static_cast<double>(static_cast<float>(values[i]));
    if (!owned.empty() && !owned[i * owned.size() / values.size()]) {
      EXPECT_TRUE(std::isnan(g)) << what << ": written outside the sequences at " << i;
      continue;
    }
    if (std::isnan(want.value[i])) continue;  // the backend's own business
    const double bound = (u * roundings * want.rounded[i] + want.single[i]) * (1 + 2 * u) +
                         u * std::abs(want.value[i]) + step * (want.tiny[i] + 1) + 1e-30;
    if (std::abs(g - want.value[i]) <= bound) continue;
    if (++wrong < 4) {
      ADD_FAILURE() << what << " at " << i << ": " << g << ", not " << want.value[i] << " within " << bound;
    }
  }
  EXPECT_EQ(wrong, 0) << what;
}

// K: the keys' and values' type; where it is narrower there is no backward pass.
template <typename T, typename K = T>
void check(const Case& c) {
  const DType dtype = kDType<T>;
  const Inputs in = make_inputs<T, K>(c);
  const Results want = expected<T>(c, in);
  const Shape query_shape{c.query_rows(), c.heads, c.size}, output_shape{c.query_rows(), c.heads, c.values()};
  const Shape key_shape{c.key_rows(), c.key_heads, c.size}, value_shape{c.key_rows(), c.key_heads, c.values()};
  const auto query = narrow_array<T>(query_shape, in.query), d_output = narrow_array<T>(output_shape, in.d_output);
  const auto key = narrow_array<K>(key_shape, in.key), value = narrow_array<K>(value_shape, in.value);
  const Array<T> output(output_shape), log_sum_exp({c.heads, c.query_rows()}), d_query(query_shape), d_key(key_shape),
      d_value(value_shape);
  std::vector<int32_t> query_first, key_first;
  std::vector<bool> owned(static_cast<size_t>(c.key_rows()), false);
  for (int64_t s = 0; s <= c.count(); ++s) {
    query_first.push_back(static_cast<int32_t>(c.first_query(s)));
    if (s == c.count()) continue;
    key_first.push_back(static_cast<int32_t>(c.first_key(s)));
    for (int64_t k = 0; k < c.keys[static_cast<size_t>(s)]; ++k) owned[static_cast<size_t>(c.first_key(s) + k)] = true;
  }
  if (!c.gaps) key_first.push_back(static_cast<int32_t>(c.first_key(c.count())));
  const auto table = [](const std::vector<int32_t>& x) { return Array<int32_t>({static_cast<int64_t>(x.size())}, x); };
  const Array<int32_t> query_table = table(query_first), key_table = table(key_first), key_lengths = table(c.keys);
  const Array<uint8_t> mask({c.key_rows()}, in.mask);
  AttentionArguments a;
  a.query = query.view(dtype);
  a.key = key.view(kDType<K>);
  a.value = value.view(kDType<K>);
  a.query_segments = {query_first, query_table.view().template as<int32_t>()};
  a.key_segments = {key_first, key_table.view().template as<int32_t>()};
  if (c.gaps) {
    a.key_segments.lengths = c.keys;
    a.key_segments.device_lengths = key_lengths.view().template as<int32_t>();
  }
  a.scale = in.scale;
  a.causal = c.causal;
  a.window = c.window;
  a.softcap = static_cast<float>(c.softcap);
  if (c.mask) a.key_mask = mask.boolean();
  const Array<T> bias =
      narrow_array<T>(c.bias.empty() ? Shape{1} : c.bias, c.bias.empty() ? std::vector<double>{0} : in.bias);
  const Array<T> slopes =
      narrow_array<T>({c.heads}, c.alibi ? in.slopes : std::vector<double>(static_cast<size_t>(c.heads)));
  const Array<T> sinks =
      narrow_array<T>({c.heads}, c.sinks ? in.sinks : std::vector<double>(static_cast<size_t>(c.heads)));
  const Array<T> d_bias(c.bias.empty() ? Shape{1} : c.bias), d_sinks({c.heads});
  if (!c.bias.empty()) a.bias = bias.view(dtype);
  if (c.alibi) a.alibi_slopes = slopes.view(dtype);
  if (c.sinks) a.sinks = sinks.view(dtype);
  a.dropout = c.dropout;
  a.seed = kSeed;
  tested().attention().forward(a, output.view(dtype), log_sum_exp.view(dtype));
  expect_within(output, want.output, 1, c.what + ": output");
  expect_within(log_sum_exp, want.log_sum_exp, 0, c.what + ": log sum exp");
  if constexpr (!std::is_same_v<T, K>) return;

  const auto exact = narrow_array<T>(output_shape, want.output.value);
  tested().attention().backward(a, exact.view(dtype), log_sum_exp.view(dtype), d_output.view(dtype),
                                d_query.view(dtype), d_key.view(dtype), d_value.view(dtype),
                                c.bias.empty() ? View{} : d_bias.view(dtype), c.sinks ? d_sinks.view(dtype) : View{});
  expect_within(d_query, want.d_query, 1, c.what + ": d_query");
  expect_within(d_key, want.d_key, 1, c.what + ": d_key", owned);
  expect_within(d_value, want.d_value, 1, c.what + ": d_value", owned);
  if (!c.bias.empty()) expect_within(d_bias, want.d_bias, 0, c.what + ": d_bias");
  if (c.sinks) expect_within(d_sinks, want.d_sinks, 0, c.what + ": d_sinks");
}

template <typename T>
class AttentionTilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (tested().device().type == DeviceType::cpu && !std::is_same_v<T, float>)
      GTEST_SKIP() << "the CPU computes in float32 and float64";
  }
};
using Types = ::testing::Types<float, float16, bfloat16>;
TYPED_TEST_SUITE(AttentionTilesTest, Types);

TYPED_TEST(AttentionTilesTest, EverySize) {
  for (const int64_t size : {8, 32, 64, 80, 96, 128, 192, 256}) {
    check<TypeParam>({.what = "size " + std::to_string(size),
                      .size = size,
                      .heads = 2,
                      .key_heads = 1,
                      .queries = {70, 3},
                      .keys = {75, 40},
                      .causal = size % 64 == 0});
  }
}

TYPED_TEST(AttentionTilesTest, ExtrasOfEverySize) {
  for (const int64_t size : {16, 64, 80, 128, 256}) {
    check<TypeParam>({.what = "extras of size " + std::to_string(size),
                      .size = size,
                      .heads = 2,
                      .key_heads = 1,
                      .queries = {69, 3},
                      .keys = {75, 40},
                      .causal = true,
                      .mask = true,
                      .window = 30,
                      .softcap = 4,
                      .dropout = 0.2F,
                      .alibi = true});
  }
}

// Keys for several rounds of a kernel's ring of tiles.
TYPED_TEST(AttentionTilesTest, LongOfEverySize) {
  for (const int64_t size : {32, 64, 128}) {
    for (const float dropout : {0.0F, 0.2F}) {
      check<TypeParam>({.what = "long, size " + std::to_string(size),
                        .size = size,
                        .heads = 1,
                        .key_heads = 1,
                        .queries = {140},
                        .keys = {1000},
                        .dropout = dropout});
    }
  }
}

template <typename T>
void check_every_option(int64_t n) {
  check<T>({.what = "plain", .size = n});
  check<T>({.what = "grouped", .size = n, .heads = 6, .key_heads = 2});
  check<T>({.what = "causal", .size = n, .causal = true});
  check<T>(
      {.what = "long, causal", .size = n, .heads = 1, .key_heads = 1, .queries = {300}, .keys = {310}, .causal = true});
  check<T>({.what = "first queries see nothing", .size = n, .queries = {150, 3}, .keys = {20, 1}, .causal = true});
  check<T>({.what = "window", .size = n, .queries = {200}, .keys = {230}, .causal = true, .window = 20});
  check<T>({.what = "window on both sides", .size = n, .queries = {200}, .keys = {230}, .window = 9});
  check<T>({.what = "window beside the keys", .size = n, .queries = {100}, .keys = {20}, .window = 5});
  check<T>({.what = "mask", .size = n, .mask = true});
  check<T>({.what = "mask, dropout", .size = n, .queries = {70, 2, 33}, .mask = true, .dropout = 0.3F});
  check<T>({.what = "softcap", .size = n, .softcap = 1.5});
  check<T>({.what = "alibi", .size = n, .causal = true, .alibi = true});
  check<T>({.what = "sinks", .size = n, .causal = true, .window = 12, .sinks = true});
  check<T>(
      {.what = "sinks alone", .size = n, .queries = {80}, .keys = {30}, .causal = true, .mask = true, .sinks = true});
  check<T>({.what = "full bias", .size = n, .bias = {3, 2, 70, 90}});
  check<T>({.what = "bias of heads", .size = n, .heads = 4, .bias = {1, 4, 70, 90}});
  check<T>({.what = "bias of keys", .size = n, .mask = true, .bias = {3, 1, 1, 90}});
  check<T>({.what = "gaps", .size = n, .causal = true, .gaps = true});
  check<T>({.what = "no keys", .size = n, .queries = {3, 2}, .keys = {0, 4}});
  check<T>({.what = "lowest bias", .size = n, .mask = true, .bias = {1, 1, 1, 90}, .lowest_bias = true});
}

TYPED_TEST(AttentionTilesTest, EveryOption) {
  check_every_option<TypeParam>(32);
  check<TypeParam>({.what = "small values", .size = 48, .value_size = 24});
  check<TypeParam>({.what = "large values", .size = 24, .causal = true, .value_size = 72});
  check<TypeParam>({.what = "everything",
                    .size = 40,
                    .heads = 6,
                    .key_heads = 3,
                    .causal = true,
                    .mask = true,
                    .window = 40,
                    .softcap = 3,
                    .dropout = 0.2F,
                    .bias = {3, 6, 1, 90},
                    .alibi = true,
                    .sinks = true,
                    .value_size = 56,
                    .gaps = true});
  check<TypeParam>({.what = "size of no tile", .size = 20, .heads = 4, .causal = true});
}

// Sizes for which there are kernels of their own.
TYPED_TEST(AttentionTilesTest, EveryOptionOfSize64) {
  check_every_option<TypeParam>(64);
}
TYPED_TEST(AttentionTilesTest, EveryOptionOfSize128) {
  if (std::is_same_v<TypeParam, float>) GTEST_SKIP() << "float32 has one kernel for both";
  check_every_option<TypeParam>(128);
}

// Few queries over keys in several chunks, and more rows of a group than a block takes.
TYPED_TEST(AttentionTilesTest, Decoding) {
  for (const int64_t size : {8, 64, 80, 128, 256}) {
    check<TypeParam>({.what = "decoding, size " + std::to_string(size),
                      .size = size,
                      .heads = 4,
                      .key_heads = 2,
                      .queries = {1, 1, 1},
                      .keys = {300, 1, 128},
                      .causal = true,
                      .gaps = true});
  }
  const int64_t n = 32;
  check<TypeParam>({.what = "one head", .size = n, .heads = 1, .key_heads = 1, .queries = {1}, .keys = {129}});
  check<TypeParam>({.what = "a group of 12",
                    .size = n,
                    .heads = 12,
                    .key_heads = 1,
                    .queries = {1, 3},
                    .keys = {200, 77},
                    .causal = true});
  check<TypeParam>(
      {.what = "beside a long one", .size = n, .queries = {4, 40, 8}, .keys = {270, 60, 8}, .causal = true});
  check<TypeParam>(
      {.what = "a window of a long cache", .size = n, .queries = {2}, .keys = {500}, .causal = true, .window = 100});
  check<TypeParam>({.what = "blind beside sighted",
                    .size = n,
                    .queries = {8, 1},
                    .keys = {3, 200},
                    .causal = true,
                    .dropout = 0.3F});
  check<TypeParam>({.what = "all masked", .size = n, .queries = {1, 1, 2}, .keys = {5, 9, 160}, .mask = true});
  check<TypeParam>({.what = "decoding with everything",
                    .size = 40,
                    .heads = 6,
                    .key_heads = 3,
                    .queries = {2, 5},
                    .keys = {190, 140},
                    .causal = true,
                    .mask = true,
                    .window = 150,
                    .softcap = 3,
                    .dropout = 0.2F,
                    .bias = {2, 6, 5, 190},
                    .alibi = true,
                    .sinks = true,
                    .value_size = 56,
                    .gaps = true});
}

TYPED_TEST(AttentionTilesTest, NarrowerKeys) {
  const auto check_all = [](auto zero) {
    using K = decltype(zero);
    for (const int64_t size : {8, 40, 128, 256}) {
      check<TypeParam, K>({.what = "narrower keys",
                           .size = size,
                           .heads = 4,
                           .key_heads = 2,
                           .queries = {1, 40, 3},
                           .keys = {150, 60, 9},
                           .causal = true,
                           .gaps = true});
    }
    check<TypeParam, K>({.what = "narrower keys in no tile", .size = 12, .queries = {3, 40}, .keys = {9, 50}});
    check<TypeParam, K>({.what = "narrower keys, blind", .size = 16, .queries = {70}, .keys = {40}, .causal = true});
  };
  check_all(float16{});
  check_all(bfloat16{});
}

// The bits of a sequence's results, alone and with others around it: longer ones, and such as see nothing.
template <typename T>
void check_other_sequences(int64_t size) {
  const DType dtype = kDType<T>;
  const int64_t heads = 2;
  const auto run = [&](const std::vector<int32_t>& queries, const std::vector<int32_t>& keys, int64_t skip_queries,
                       int64_t skip_keys, size_t which) {
    std::vector<int32_t> query_first{0}, key_first{0};
    for (size_t i = 0; i < queries.size(); ++i) {
      query_first.push_back(query_first.back() + queries[i]);
      key_first.push_back(key_first.back() + keys[i]);
    }
    // Rows of the longest batch; a part of them for the sequence alone.
    const auto part = [&](int64_t rows, int64_t skip, uint64_t seed) {
      const int64_t row = heads * size;
      const std::vector<double> all = numbers((skip + rows) * row, seed, -2, 2);
      return narrow_array<T>({rows, heads, size}, {all.begin() + skip * row, all.end()});
    };
    const auto query = part(query_first.back(), skip_queries, 1), d_output = part(query_first.back(), skip_queries, 4);
    const auto key = part(key_first.back(), skip_keys, 2), value = part(key_first.back(), skip_keys, 3);
    const Array<T> output({query_first.back(), heads, size}), log_sum_exp({heads, query_first.back()});
    const Array<T> d_query({query_first.back(), heads, size}), d_key({key_first.back(), heads, size}),
        d_value({key_first.back(), heads, size});
    const Array<int32_t> query_table({static_cast<int64_t>(query_first.size())}, query_first),
        key_table({static_cast<int64_t>(key_first.size())}, key_first);
    AttentionArguments a;
    a.query = query.view(dtype);
    a.key = key.view(dtype);
    a.value = value.view(dtype);
    a.query_segments = {query_first, query_table.view().template as<int32_t>()};
    a.key_segments = {key_first, key_table.view().template as<int32_t>()};
    a.causal = true;
    a.scale = 0.25F;
    tested().attention().forward(a, output.view(dtype), log_sum_exp.view(dtype));
    tested().attention().backward(a, output.view(dtype), log_sum_exp.view(dtype), d_output.view(dtype),
                                  d_query.view(dtype), d_key.view(dtype), d_value.view(dtype), {}, {});
    std::vector<float> bits;
    const auto take = [&](const Array<T>& from, const std::vector<int32_t>& first) {
      const std::vector<T> all = from.values();
      const int64_t row = heads * size;
      for (int64_t i = first[which] * row; i < first[which + 1] * row; ++i) {
        bits.push_back(static_cast<float>(all[static_cast<size_t>(i)]));
      }
    };
    take(output, query_first);
    take(d_query, query_first);
    take(d_key, key_first);
    take(d_value, key_first);
    return bits;
  };
  const std::vector<int32_t> queries{150, 70, 3}, keys{20, 75, 140};
  EXPECT_EQ(run({70}, {75}, 150, 20, 0), run(queries, keys, 0, 0, 1));
  EXPECT_EQ(run({3}, {140}, 220, 95, 0), run(queries, keys, 0, 0, 2));
}

TYPED_TEST(AttentionTilesTest, DoesNotDependOnOtherSequences) {
  check_other_sequences<TypeParam>(32);
  check_other_sequences<TypeParam>(64);
}

}  // namespace
}  // namespace mica
