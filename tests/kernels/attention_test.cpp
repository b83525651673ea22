#include "mica/kernels/attention.h"

#include <optional>

#include "mica/kernels/cpu/convert.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

using namespace test;

struct Case {
  const char* what;
  int64_t heads = 2, key_heads = 2, size = 4;
  std::vector<int32_t> query_offsets{0, 3, 3, 8}, key_offsets{0, 3, 4, 9};
  bool causal = false, mask = false;
  float dropout = 0;
  Shape bias{};            // [count or 1, heads or 1, queries or 1, keys]
  int64_t row_gap = 0;     // between the rows of query, key and value
  int64_t value_size = 0;  // 0: size
  int64_t window = 0;
  double softcap = 0;
  bool alibi = false, sinks = false;
  std::vector<int32_t> key_lengths{};  // given: key_offsets are first rows
  int64_t queries() const { return query_offsets.back(); }
  int64_t values() const { return value_size > 0 ? value_size : size; }
  int64_t keys() const {  // rows of the keys
    int64_t rows = key_lengths.empty() ? key_offsets.back() : 0;
    for (size_t i = 0; i < key_lengths.size(); ++i) rows = std::max<int64_t>(rows, key_offsets[i] + key_lengths[i]);
    return rows;
  }
  int64_t keys_of(size_t s) const { return key_lengths.empty() ? key_offsets[s + 1] - key_offsets[s] : key_lengths[s]; }
  bool owned(int64_t key_row) const {
    if (key_lengths.empty()) return true;
    for (size_t i = 0; i < key_lengths.size(); ++i)
      if (key_row >= key_offsets[i] && key_row < key_offsets[i] + key_lengths[i]) return true;
    return false;
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  all.push_back({.what = "plain"});
  all.push_back({.what = "grouped", .heads = 6, .key_heads = 2, .size = 5});
  all.push_back({.what = "causal", .key_offsets = {0, 3, 3, 8}, .causal = true});
  all.push_back({.what = "causal with a past", .causal = true});
  all.push_back(
      {.what = "causal, first queries see nothing", .query_offsets = {0, 4}, .key_offsets = {0, 2}, .causal = true});
  all.push_back({.what = "mask", .mask = true});
  all.push_back({.what = "mask, causal, grouped", .heads = 4, .key_heads = 1, .causal = true, .mask = true});
  all.push_back({.what = "dropout", .query_offsets = {0, 2, 6}, .key_offsets = {0, 3, 10}, .dropout = 0.3F});
  all.push_back({.what = "dropout, mask", .mask = true, .dropout = 0.5F});
  all.push_back({.what = "full bias", .bias = {3, 2, 5, 5}});
  all.push_back({.what = "bias of all sequences", .bias = {1, 2, 5, 5}});
  all.push_back({.what = "bias of all heads", .mask = true, .bias = {3, 1, 5, 5}});
  all.push_back({.what = "bias of keys", .heads = 4, .causal = true, .dropout = 0.25F, .bias = {1, 1, 1, 5}});
  all.push_back({.what = "bias of queries", .heads = 4, .key_heads = 2, .bias = {1, 4, 1, 5}});
  all.push_back({.what = "rows apart", .mask = true, .row_gap = 3});
  all.push_back({.what = "long",
                 .heads = 1,
                 .key_heads = 1,
                 .size = 3,
                 .query_offsets = {0, 70, 140},
                 .key_offsets = {0, 80, 161},
                 .causal = true,
                 .mask = true});
  all.push_back({.what = "window", .causal = true, .window = 2});
  all.push_back({.what = "window of one", .causal = true, .window = 1});
  all.push_back({.what = "window on both sides", .window = 1});
  all.push_back({.what = "wide window", .mask = true, .window = 1000});
  all.push_back(
      {.what = "window, first queries see nothing", .query_offsets = {0, 6}, .key_offsets = {0, 3}, .window = 1});
  all.push_back({.what = "softcap", .softcap = 1.5});
  all.push_back({.what = "softcap, bias, mask", .mask = true, .bias = {3, 1, 5, 5}, .softcap = 0.75});
  all.push_back({.what = "alibi", .alibi = true});
  all.push_back({.what = "alibi, causal with a past, bias", .causal = true, .bias = {1, 2, 5, 5}, .alibi = true});
  all.push_back({.what = "sinks", .sinks = true});
  all.push_back({.what = "sinks, mask, dropout", .mask = true, .dropout = 0.25F, .sinks = true});
  all.push_back({.what = "sinks, bias", .causal = true, .bias = {1, 1, 5, 5}, .sinks = true});
  all.push_back({.what = "sinks alone", .query_offsets = {0, 4}, .key_offsets = {0, 2}, .causal = true, .sinks = true});
  all.push_back({.what = "sinks, no keys", .query_offsets = {0, 2}, .key_offsets = {0, 0}, .sinks = true});
  all.push_back({.what = "small values", .heads = 4, .size = 6, .bias = {1, 4, 5, 5}, .value_size = 3});
  all.push_back({.what = "large values", .causal = true, .mask = true, .value_size = 9});
  all.push_back({.what = "across, bias", .query_offsets = {0, 5, 7}, .key_offsets = {0, 2, 9}, .bias = {2, 2, 5, 7}});
  all.push_back(
      {.what = "across, bias of heads", .query_offsets = {0, 5, 7}, .key_offsets = {0, 2, 9}, .bias = {1, 2, 5, 7}});
  all.push_back({.what = "keys with gaps",
                 .heads = 4,
                 .query_offsets = {0, 1, 3, 4},
                 .key_offsets = {12, 0, 7},
                 .causal = true,
                 .mask = true,
                 .key_lengths = {3, 5, 1}});
  all.push_back({.what = "keys with gaps, bias",
                 .query_offsets = {0, 2, 4},
                 .key_offsets = {6, 1},
                 .bias = {2, 2, 2, 4},
                 .row_gap = 2,
                 .key_lengths = {2, 4}});
  all.push_back({.what = "everything",
                 .heads = 6,
                 .key_heads = 3,
                 .size = 5,
                 .query_offsets = {0, 4, 9},
                 .key_offsets = {9, 0},
                 .causal = true,
                 .mask = true,
                 .dropout = 0.2F,
                 .bias = {2, 6, 1, 8},
                 .value_size = 7,
                 .window = 5,
                 .softcap = 2,
                 .alibi = true,
                 .sinks = true,
                 .key_lengths = {6, 8}});
  all.push_back({.what = "long, window",
                 .heads = 2,
                 .key_heads = 1,
                 .size = 3,
                 .query_offsets = {0, 70, 140},
                 .key_offsets = {0, 170, 250},
                 .causal = true,
                 .mask = true,
                 .window = 21,
                 .softcap = 3});
  all.push_back({.what = "long, window on both sides",
                 .heads = 1,
                 .key_heads = 1,
                 .size = 3,
                 .query_offsets = {0, 100, 270},
                 .key_offsets = {0, 130, 300},
                 .window = 7,
                 .softcap = 3,
                 .alibi = true,
                 .sinks = true});
  all.push_back({.what = "nothing", .query_offsets = {0, 0}, .key_offsets = {0, 0}});
  all.push_back({.what = "no keys", .query_offsets = {0, 2}, .key_offsets = {0, 0}});
  return all;
}

// All inputs as doubles, dense.
struct Inputs {
  std::vector<double> query, key, value, bias, d_output, slopes, sinks;
  std::vector<uint8_t> mask;
};

Inputs make_inputs(const Case& c) {
  Inputs in;
  in.query = numbers(c.queries() * c.heads * c.size, 1, -2, 2);
  in.key = numbers(c.keys() * c.key_heads * c.size, 2, -2, 2);
  in.value = numbers(c.keys() * c.key_heads * c.values(), 3);
  in.d_output = numbers(c.queries() * c.heads * c.values(), 4);
  if (c.alibi) in.slopes = numbers(c.heads, 6, 0, 1);
  if (c.sinks) in.sinks = numbers(c.heads, 7);
  for (int64_t k = 0; k < c.keys(); ++k) {
    if (c.owned(k)) continue;
    std::fill_n(in.key.begin() + k * c.key_heads * c.size, c.key_heads * c.size, NAN);
    std::fill_n(in.value.begin() + k * c.key_heads * c.values(), c.key_heads * c.values(), NAN);
  }
  if (!c.bias.empty()) in.bias = numbers(product_of(c.bias), 5);
  // The whole second sequence is hidden, and every third key.
  for (int64_t k = 0; k < c.keys(); ++k) {
    const bool second =
        c.key_lengths.empty() && c.key_offsets.size() > 2 && k >= c.key_offsets[1] && k < c.key_offsets[2];
    in.mask.push_back(!second && k % 3 != 1 ? 1 : 0);
  }
  return in;
}

constexpr uint64_t kSeed = 99;
constexpr double kScale = 0.375;

// The weights after softmax and dropout's factors of one query.
struct Weights {
  std::vector<double> probability, factor;
  double log_sum_exp = 0;
  bool seen = false;
};

Weights weights_of(const Case& c, const Inputs& in, int64_t sequence, int64_t head, int64_t query) {
  const auto s = static_cast<size_t>(sequence);
  const int64_t first_query = c.query_offsets[s], queries = c.query_offsets[s + 1] - first_query;
  const int64_t first_key = c.key_offsets[s], keys = c.keys_of(s);
  const int64_t key_head = head / (c.heads / c.key_heads);
  Weights w;
  std::vector<double> scores;
  double largest = -INFINITY;
  for (int64_t k = 0; k < keys; ++k) {
    double score = 0;
    for (int64_t i = 0; i < c.size; ++i) {
      score += in.query[static_cast<size_t>(((first_query + query) * c.heads + head) * c.size + i)] *
               in.key[static_cast<size_t>(((first_key + k) * c.key_heads + key_head) * c.size + i)];
    }
    score *= kScale;
    if (c.softcap > 0) score = c.softcap * std::tanh(score / c.softcap);
    const int64_t back = query + keys - queries - k;  // how far behind the query the key stands
    if (c.alibi) score -= in.slopes[static_cast<size_t>(head)] * static_cast<double>(back);
    if (!c.bias.empty()) {
      const int64_t b0 = c.bias[0] == 1 ? 0 : sequence, b1 = c.bias[1] == 1 ? 0 : head;
      const int64_t b2 = c.bias[2] == 1 ? 0 : query;
      score += in.bias[static_cast<size_t>(((b0 * c.bias[1] + b1) * c.bias[2] + b2) * c.bias[3] + k)];
    }
    const bool hidden = (c.mask && in.mask[static_cast<size_t>(first_key + k)] == 0) || (c.causal && back < 0) ||
                        (c.window > 0 && (c.causal ? back >= c.window : std::abs(back) > c.window));
    scores.push_back(hidden ? -INFINITY : score);
    largest = std::max(largest, scores.back());
    const double u = static_cast<double>(uniform_from_word(
        philox_word(kSeed, static_cast<uint64_t>(sequence * c.heads + head), static_cast<uint64_t>(query * keys + k))));
    w.factor.push_back(u >= static_cast<double>(c.dropout) ? 1 / (1 - static_cast<double>(c.dropout)) : 0);
  }
  w.seen = largest > -INFINITY;
  if (c.sinks) {
    const double sink = in.sinks[static_cast<size_t>(head)];
    double sum = std::exp(sink);
    for (const double score : scores) sum += std::exp(score);
    for (const double score : scores) w.probability.push_back(std::exp(score) / sum);
    w.log_sum_exp = std::log(sum);
    w.seen = true;
    return w;
  }
  double sum = 0;
  for (double& score : scores) {
    score = w.seen ? std::exp(score - largest) : 1;
    sum += score;
  }
  for (const double score : scores) w.probability.push_back(score / sum);
  w.log_sum_exp = largest + std::log(sum);
  return w;
}

struct Results {
  std::vector<double> output, log_sum_exp, d_query, d_key, d_value, d_bias, d_sinks;
};

// Straight from the formulas, one query at a time.
Results expected(const Case& c, const Inputs& in) {
  Results r;
  r.output.assign(in.d_output.size(), 0);
  r.log_sum_exp.assign(static_cast<size_t>(c.heads * c.queries()), NAN);
  for (size_t s = 0; s + 1 < c.query_offsets.size(); ++s) {
    const int64_t first_query = c.query_offsets[s], queries = c.query_offsets[s + 1] - first_query;
    const int64_t first_key = c.key_offsets[s], keys = c.keys_of(s), size = c.values();
    for (int64_t h = 0; h < c.heads; ++h) {
      for (int64_t q = 0; q < queries; ++q) {
        const Weights w = weights_of(c, in, static_cast<int64_t>(s), h, q);
        if (w.seen) r.log_sum_exp[static_cast<size_t>(h * c.queries() + first_query + q)] = w.log_sum_exp;
        for (int64_t k = 0; k < keys; ++k) {
          const auto at = static_cast<size_t>(k);
          for (int64_t i = 0; i < size; ++i) {
            r.output[static_cast<size_t>(((first_query + q) * c.heads + h) * size + i)] +=
                w.probability[at] * w.factor[at] *
                in.value[static_cast<size_t>(((first_key + k) * c.key_heads + h / (c.heads / c.key_heads)) * size + i)];
          }
        }
      }
    }
  }
  return r;
}

// [rows, heads, size] with a gap after each row, if asked for.
template <typename T>
struct Rows {
  Array<T> memory;
  View view;
  Rows(int64_t rows, int64_t heads, int64_t size, int64_t gap, const std::optional<std::vector<double>>& values)
      : memory(spread(rows, heads * size, gap, values)), view(memory.view()) {
    view.rank = 3;
    view.shape = {rows, heads, size};
    view.strides = {heads * size + gap, size, 1};
  }
  std::vector<double> dense() const {
    std::vector<double> out;
    const auto all = memory.values();
    const int64_t row = view.shape[1] * view.shape[2];
    for (int64_t i = 0; i < view.shape[0]; ++i) {
      for (int64_t j = 0; j < view.strides[0]; ++j) {
        const T value = all[static_cast<size_t>(i * view.strides[0] + j)];
        if (j < row) {
          out.push_back(static_cast<double>(value));
        } else {
          EXPECT_TRUE(std::isnan(value)) << "written between rows";
        }
      }
    }
    return out;
  }
  static Array<T> spread(int64_t rows, int64_t row, int64_t gap, const std::optional<std::vector<double>>& values) {
    std::vector<T> out(static_cast<size_t>(rows * (row + gap)), std::numeric_limits<T>::quiet_NaN());
    if (values) {
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < row; ++j) {
          out[static_cast<size_t>(i * (row + gap) + j)] = static_cast<T>((*values)[static_cast<size_t>(i * row + j)]);
        }
      }
    }
    return Array<T>({rows * (row + gap)}, out);
  }
};

template <typename T>
Results run(const Case& c, const Inputs& in, bool backward, bool bias_gradient = true) {
  const Rows<T> query(c.queries(), c.heads, c.size, c.row_gap, in.query);
  const Rows<T> key(c.keys(), c.key_heads, c.size, c.row_gap, in.key);
  const Rows<T> value(c.keys(), c.key_heads, c.values(), c.row_gap, in.value);
  const Rows<T> output(c.queries(), c.heads, c.values(), c.row_gap, std::nullopt);
  const Array<T> log_sum_exp({c.heads, c.queries()});
  const auto count = static_cast<int64_t>(c.query_offsets.size());
  const Array<int32_t> query_offsets({count}, c.query_offsets);
  const Array<int32_t> key_offsets({static_cast<int64_t>(c.key_offsets.size())}, c.key_offsets);
  const Array<int32_t> key_lengths({static_cast<int64_t>(c.key_lengths.size())}, c.key_lengths);
  const Array<uint8_t> mask({c.keys()}, in.mask);
  std::optional<Array<T>> bias, d_bias, slopes, sinks, d_sinks;
  AttentionArguments a;
  a.query = query.view;
  a.key = key.view;
  a.value = value.view;
  a.query_segments = {c.query_offsets, query_offsets.view().template as<int32_t>()};
  a.key_segments = {c.key_offsets, key_offsets.view().template as<int32_t>()};
  if (!c.key_lengths.empty()) {
    a.key_segments.lengths = c.key_lengths;
    a.key_segments.device_lengths = key_lengths.view().template as<int32_t>();
  }
  a.window = c.window;
  a.softcap = static_cast<float>(c.softcap);
  if (c.alibi) a.alibi_slopes = slopes.emplace(Shape{c.heads}, cast<T>(in.slopes)).view();
  if (c.sinks) {
    a.sinks = sinks.emplace(Shape{c.heads}, cast<T>(in.sinks)).view();
    d_sinks.emplace(Shape{c.heads});
  }
  a.scale = static_cast<float>(kScale);
  a.causal = c.causal;
  if (c.mask) a.key_mask = mask.boolean();
  if (!c.bias.empty()) {
    bias.emplace(c.bias, cast<T>(in.bias));
    if (bias_gradient) d_bias.emplace(c.bias);
    a.bias = bias->view();
  }
  a.dropout = c.dropout;
  a.seed = kSeed;
  tested().attention().forward(a, output.view, log_sum_exp.view());
  Results r;
  r.output = output.dense();
  r.log_sum_exp = cast<double>(log_sum_exp.values());
  if (!backward) return r;
  const Rows<T> d_output(c.queries(), c.heads, c.values(), 0, in.d_output);
  const Rows<T> d_query(c.queries(), c.heads, c.size, c.row_gap, std::nullopt);
  const Rows<T> d_key(c.keys(), c.key_heads, c.size, c.row_gap, std::nullopt);
  const Rows<T> d_value(c.keys(), c.key_heads, c.values(), c.row_gap, std::nullopt);
  tested().attention().backward(a, output.view, log_sum_exp.view(), d_output.view, d_query.view, d_key.view,
                                d_value.view, d_bias ? d_bias->view() : View{}, d_sinks ? d_sinks->view() : View{});
  r.d_query = d_query.dense();
  r.d_key = d_key.dense();
  r.d_value = d_value.dense();
  // Rows that no sequence owns are left alone; their gradient is zero.
  for (auto* gradient : {&r.d_key, &r.d_value}) {
    const auto row = static_cast<int64_t>(gradient->size()) / std::max<int64_t>(1, c.keys());
    for (size_t i = 0; i < gradient->size(); ++i) {
      if (c.owned(static_cast<int64_t>(i) / row)) continue;
      EXPECT_TRUE(std::isnan((*gradient)[i])) << "written outside sequences";
      (*gradient)[i] = 0;
    }
  }
  if (d_sinks) r.d_sinks = cast<double>(d_sinks->values());
  if (d_bias) r.d_bias = cast<double>(d_bias->values());
  return r;
}

template <typename T>
class AttentionTest : public ::testing::Test {};
TYPED_TEST_SUITE(AttentionTest, Floats);

TYPED_TEST(AttentionTest, Forward) {
  for (const Case& c : cases()) {
    const Inputs in = make_inputs(c);
    const Results got = run<TypeParam>(c, in, false), want = expected(c, in);
    // Scores up to 10 are off by some epsilons each, and so are the weights, relatively; values are below 1, dropout at
    // most doubles them.
    expect_close(got.output, want.output, 0, 64 * kEpsilon<TypeParam>, c.what);
    for (size_t i = 0; i < want.log_sum_exp.size(); ++i) {
      if (std::isnan(want.log_sum_exp[i])) continue;  // a query that sees nothing: the backend's own business
      EXPECT_NEAR(got.log_sum_exp[i], want.log_sum_exp[i], 64 * kEpsilon<TypeParam>) << c.what;
    }
  }
}

// A query that sees no key is tested by formula below: its gradient is not the slope of anything.
bool all_see(const Case& c, const Inputs& in) {
  const Results r = expected(c, in);
  return std::none_of(r.log_sum_exp.begin(), r.log_sum_exp.end(), [](double v) { return std::isnan(v); });
}

TEST(Attention, BackwardMatchesFiniteDifferences) {
  int tried = 0;
  for (const Case& c : cases()) {
    if (c.queries() > 20) continue;
    Inputs in = make_inputs(c);
    if (c.mask && c.key_offsets.size() > 2) in.mask[static_cast<size_t>(c.key_offsets[1])] = 1;
    if (c.mask) in.mask[0] = 1;
    if (!all_see(c, in)) continue;
    ++tried;
    const Results got = run<double>(c, in, true);
    const auto slope = [&](std::vector<double> Inputs::*member, const std::vector<double>& gradient, const char* part) {
      const auto f = [&](const std::vector<double>& v) {
        Inputs moved = in;
        moved.*member = v;
        return dot(run<double>(c, moved, false).output, in.d_output);
      };
      expect_gradient(f, in.*member, gradient, (std::string(c.what) + " " + part).c_str());
    };
    slope(&Inputs::query, got.d_query, "query");
    slope(&Inputs::key, got.d_key, "key");
    slope(&Inputs::value, got.d_value, "value");
    if (!c.bias.empty()) slope(&Inputs::bias, got.d_bias, "bias");
    if (c.sinks) slope(&Inputs::sinks, got.d_sinks, "sinks");
  }
  EXPECT_GE(tried, 28);
}

TEST(Attention, BackwardOfQueriesThatSeeNothingIsThatOfEqualWeights) {
  // Two queries, no key visible: P = 1/2, dS = P (dO v - rowsum(dO O)).
  Case c{.what = "blind", .heads = 1, .key_heads = 1, .size = 2, .query_offsets = {0, 1}, .key_offsets = {0, 2}};
  c.mask = true;
  Inputs in;
  in.query = {1, 2};
  in.key = {3, 4, 5, 6};
  in.value = {1, 0, 0, 2};
  in.d_output = {1, 10};
  in.mask = {0, 0};
  const Results got = run<double>(c, in, true);
  expect_close(got.output, {0.5, 1}, 1e-14, 0);
  const double ds0 = 0.5 * (1 - 10.5), ds1 = 0.5 * (20 - 10.5);
  expect_close(got.d_value, {0.5, 5, 0.5, 5}, 1e-14, 0);
  expect_close(got.d_query, {kScale * (ds0 * 3 + ds1 * 5), kScale * (ds0 * 4 + ds1 * 6)}, 1e-14, 0);
  expect_close(got.d_key, {kScale * ds0, kScale * ds0 * 2, kScale * ds1, kScale * ds1 * 2}, 1e-14, 0);
}

// The lowest number as bias for each key: all scores are alike, and the keys that are not hidden weigh the same. Their
// log sum exp has no room for the logarithm of their number.
TYPED_TEST(AttentionTest, BackwardOfTheLowestBiasIsThatOfEqualWeights) {
  Case c{.what = "lowest", .heads = 1, .key_heads = 1, .size = 2, .query_offsets = {0, 1}, .key_offsets = {0, 4}};
  c.mask = true;
  c.bias = {1, 1, 1, 4};
  Inputs in;
  in.query = {1, 2};
  in.key = {3, 4, 5, 6, 7, 8, 1, 2};
  in.value = {1, 0, 0, 2, 9, 9, 3, 3};
  in.d_output = {3, 6};
  in.mask = {1, 1, 0, 1};
  in.bias.assign(4, static_cast<double>(std::numeric_limits<TypeParam>::lowest()));
  const double epsilon = 64 * kEpsilon<TypeParam>;
  for (const bool bias_gradient : {true, false}) {
    const Results got = run<TypeParam>(c, in, true, bias_gradient);
    expect_close(got.output, {4 / 3.0, 5 / 3.0}, epsilon, 0);
    // dS = P (dO v - rowsum(dO O)) with dO v = 3, 12, -, 27 and rowsum(dO O) = 14.
    const double ds0 = (3 - 14) / 3.0, ds1 = (12 - 14) / 3.0, ds3 = (27 - 14) / 3.0;
    expect_close(got.d_value, {1, 2, 1, 2, 0, 0, 1, 2}, epsilon, 0);
    expect_close(got.d_query, {kScale * (ds0 * 3 + ds1 * 5 + ds3), kScale * (ds0 * 4 + ds1 * 6 + ds3 * 2)}, epsilon, 0);
    expect_close(got.d_key,
                 {kScale * ds0, kScale * ds0 * 2, kScale * ds1, kScale * ds1 * 2, 0, 0, kScale * ds3, kScale * ds3 * 2},
                 epsilon, 0);
    if (bias_gradient) expect_close(got.d_bias, {ds0, ds1, 0, ds3}, epsilon, 0);
  }
}

TEST(Attention, BackwardInFloatMatchesDouble) {
  for (const Case& c : cases()) {
    const Inputs in = make_inputs(c);
    const Results exact = run<double>(c, in, true), got = run<float>(c, in, true);
    // Sums of at most keys or queries x heads terms below 16, each off by some epsilons.
    const double bound = 64 * kEpsilon<float> * static_cast<double>(16 + c.queries());
    expect_close(got.d_query, exact.d_query, 0, bound, c.what);
    expect_close(got.d_key, exact.d_key, 0, bound, c.what);
    expect_close(got.d_value, exact.d_value, 0, bound, c.what);
    expect_close(got.d_bias, exact.d_bias, 0, bound, c.what);
    expect_close(got.d_sinks, exact.d_sinks, 0, bound * static_cast<double>(c.query_offsets.size()), c.what);
  }
}

// Narrow keys and values give what their widened numbers give: beside float64, and beside float32.
TEST(Attention, KeysAndValuesMayBeNarrower) {
  const Case c{.what = "narrow", .heads = 4, .query_offsets = {0, 3, 8}, .key_offsets = {0, 3, 40}, .causal = true};
  for (const DType dtype : {DType::bfloat16, DType::float16}) {
    Inputs in = make_inputs(c);
    const auto narrow = [&](std::vector<double>& x) {
      std::vector<uint16_t> bits(x.size());
      const auto count = static_cast<int64_t>(x.size());
      cpu::convert(x.data(), DType::float64, 1, bits.data(), dtype, 1, count);
      cpu::convert(bits.data(), dtype, 1, x.data(), DType::float64, 1, count);
      return Array<uint16_t>({c.keys(), c.key_heads, c.size}, bits);
    };
    const Array<uint16_t> key = narrow(in.key), value = narrow(in.value);
    const Array<int32_t> query_offsets({static_cast<int64_t>(c.query_offsets.size())}, c.query_offsets);
    const Array<int32_t> key_offsets({static_cast<int64_t>(c.key_offsets.size())}, c.key_offsets);
    const auto check = [&](auto tag) {
      using T = decltype(tag);
      const Array<T> query = array<T>({c.queries(), c.heads, c.size}, in.query);
      const Array<T> output({c.queries(), c.heads, c.size});
      AttentionArguments a;
      a.query = query.view();
      a.key = key.view(dtype);
      a.value = value.view(dtype);
      a.query_segments = {c.query_offsets, query_offsets.view().as<int32_t>()};
      a.key_segments = {c.key_offsets, key_offsets.view().as<int32_t>()};
      a.scale = static_cast<float>(kScale);
      a.causal = true;
      tested().attention().forward(a, output.view(), {});
      expect_close(output.values(), expected(c, in).output, 0, 64 * kEpsilon<T>, c.what);
    };
    check(float{});
    check(double{});
  }
}

TEST(Attention, NotANumberReachesTheOutput) {
  const Case c{.what = "plain"};
  Inputs in = make_inputs(c);
  std::fill(in.query.begin(), in.query.end(), NAN);
  for (const double v : run<float>(c, in, false).output) EXPECT_TRUE(std::isnan(v));
}

TEST(Attention, DoesNotDependOnThreadsOrOtherSequences) {
  const Case both{.what = "long",
                  .heads = 4,
                  .key_heads = 2,
                  .size = 8,
                  .query_offsets = {0, 70, 140},
                  .key_offsets = {0, 80, 161},
                  .causal = true,
                  .mask = true,
                  .bias = {1, 1, 80, 81},
                  .window = 60,
                  .sinks = true};
  const Inputs in = make_inputs(both);
  expect_same_for_any_threads<double>([&] {
    const Results r = run<float>(both, in, true);
    std::vector<double> joined = r.output;
    for (const auto* part : {&r.d_query, &r.d_key, &r.d_value, &r.d_bias, &r.d_sinks}) {
      joined.insert(joined.end(), part->begin(), part->end());
    }
    return joined;
  });
  Case first = both;
  first.query_offsets = {0, 70};
  first.key_offsets = {0, 80};
  Inputs alone = in;
  alone.query.resize(static_cast<size_t>(70 * 4 * 8));
  alone.d_output.resize(alone.query.size());
  alone.key.resize(static_cast<size_t>(80 * 2 * 8));
  alone.value.resize(alone.key.size());
  alone.mask.resize(80);
  const auto all = run<float>(both, in, false).output, some = run<float>(first, alone, false).output;
  EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
}

}  // namespace
}  // namespace mica
