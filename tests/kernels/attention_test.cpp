#include "mica/kernels/attention.h"

#include <optional>

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
  Shape bias{};         // [count or 1, heads or 1, queries or 1, keys]
  int64_t row_gap = 0;  // between the rows of query, key and value
  int64_t queries() const { return query_offsets.back(); }
  int64_t keys() const { return key_offsets.back(); }
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
  all.push_back({.what = "nothing", .query_offsets = {0, 0}, .key_offsets = {0, 0}});
  all.push_back({.what = "no keys", .query_offsets = {0, 2}, .key_offsets = {0, 0}});
  return all;
}

// All inputs as doubles, dense.
struct Inputs {
  std::vector<double> query, key, value, bias, d_output;
  std::vector<uint8_t> mask;
};

Inputs make_inputs(const Case& c) {
  Inputs in;
  in.query = numbers(c.queries() * c.heads * c.size, 1, -2, 2);
  in.key = numbers(c.keys() * c.key_heads * c.size, 2, -2, 2);
  in.value = numbers(c.keys() * c.key_heads * c.size, 3);
  in.d_output = numbers(c.queries() * c.heads * c.size, 4);
  if (!c.bias.empty()) in.bias = numbers(product_of(c.bias), 5);
  // The whole second sequence is hidden, and every third key.
  for (int64_t k = 0; k < c.keys(); ++k) {
    const bool second = c.key_offsets.size() > 2 && k >= c.key_offsets[1] && k < c.key_offsets[2];
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
  const int64_t first_key = c.key_offsets[s], keys = c.key_offsets[s + 1] - first_key;
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
    if (!c.bias.empty()) {
      const int64_t b0 = c.bias[0] == 1 ? 0 : sequence, b1 = c.bias[1] == 1 ? 0 : head;
      const int64_t b2 = c.bias[2] == 1 ? 0 : query;
      score += in.bias[static_cast<size_t>(((b0 * c.bias[1] + b1) * c.bias[2] + b2) * c.bias[3] + k)];
    }
    const bool hidden =
        (c.mask && in.mask[static_cast<size_t>(first_key + k)] == 0) || (c.causal && k > query + keys - queries);
    scores.push_back(hidden ? -INFINITY : score);
    largest = std::max(largest, scores.back());
    const double u = static_cast<double>(uniform_from_word(
        philox_word(kSeed, static_cast<uint64_t>(sequence * c.heads + head), static_cast<uint64_t>(query * keys + k))));
    w.factor.push_back(u >= static_cast<double>(c.dropout) ? 1 / (1 - static_cast<double>(c.dropout)) : 0);
  }
  w.seen = largest > -INFINITY;
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
  std::vector<double> output, log_sum_exp, d_query, d_key, d_value, d_bias;
};

// Straight from the formulas, one query at a time.
Results expected(const Case& c, const Inputs& in) {
  Results r;
  r.output.assign(in.query.size(), 0);
  r.log_sum_exp.assign(static_cast<size_t>(c.heads * c.queries()), NAN);
  for (size_t s = 0; s + 1 < c.query_offsets.size(); ++s) {
    const int64_t first_query = c.query_offsets[s], queries = c.query_offsets[s + 1] - first_query;
    const int64_t first_key = c.key_offsets[s], keys = c.key_offsets[s + 1] - first_key;
    for (int64_t h = 0; h < c.heads; ++h) {
      for (int64_t q = 0; q < queries; ++q) {
        const Weights w = weights_of(c, in, static_cast<int64_t>(s), h, q);
        if (w.seen) r.log_sum_exp[static_cast<size_t>(h * c.queries() + first_query + q)] = w.log_sum_exp;
        for (int64_t k = 0; k < keys; ++k) {
          const auto at = static_cast<size_t>(k);
          for (int64_t i = 0; i < c.size; ++i) {
            r.output[static_cast<size_t>(((first_query + q) * c.heads + h) * c.size + i)] +=
                w.probability[at] * w.factor[at] *
                in.value[static_cast<size_t>(((first_key + k) * c.key_heads + h / (c.heads / c.key_heads)) * c.size +
                                             i)];
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
Results run(const Case& c, const Inputs& in, bool backward) {
  const Rows<T> query(c.queries(), c.heads, c.size, c.row_gap, in.query);
  const Rows<T> key(c.keys(), c.key_heads, c.size, c.row_gap, in.key);
  const Rows<T> value(c.keys(), c.key_heads, c.size, c.row_gap, in.value);
  const Rows<T> output(c.queries(), c.heads, c.size, c.row_gap, std::nullopt);
  const Array<T> log_sum_exp({c.heads, c.queries()});
  const auto count = static_cast<int64_t>(c.query_offsets.size());
  const Array<int32_t> query_offsets({count}, c.query_offsets), key_offsets({count}, c.key_offsets);
  const Array<uint8_t> mask({c.keys()}, in.mask);
  std::optional<Array<T>> bias, d_bias;
  AttentionArguments a;
  a.query = query.view;
  a.key = key.view;
  a.value = value.view;
  a.query_segments = {c.query_offsets, query_offsets.view().template as<int32_t>()};
  a.key_segments = {c.key_offsets, key_offsets.view().template as<int32_t>()};
  a.scale = static_cast<float>(kScale);
  a.causal = c.causal;
  if (c.mask) a.key_mask = mask.boolean();
  if (!c.bias.empty()) {
    bias.emplace(c.bias, cast<T>(in.bias));
    d_bias.emplace(c.bias);
    a.bias = bias->view();
  }
  a.dropout = c.dropout;
  a.seed = kSeed;
  tested().attention().forward(a, output.view, log_sum_exp.view());
  Results r;
  r.output = output.dense();
  r.log_sum_exp = cast<double>(log_sum_exp.values());
  if (!backward) return r;
  const Rows<T> d_output(c.queries(), c.heads, c.size, 0, in.d_output);
  const Rows<T> d_query(c.queries(), c.heads, c.size, c.row_gap, std::nullopt);
  const Rows<T> d_key(c.keys(), c.key_heads, c.size, c.row_gap, std::nullopt);
  const Rows<T> d_value(c.keys(), c.key_heads, c.size, c.row_gap, std::nullopt);
  tested().attention().backward(a, output.view, log_sum_exp.view(), d_output.view, d_query.view, d_key.view,
                                d_value.view, d_bias ? d_bias->view() : View{});
  r.d_query = d_query.dense();
  r.d_key = d_key.dense();
  r.d_value = d_value.dense();
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
  }
  EXPECT_GE(tried, 12);
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
                  .bias = {1, 1, 80, 81}};
  const Inputs in = make_inputs(both);
  expect_same_for_any_threads<double>([&] {
    const Results r = run<float>(both, in, true);
    std::vector<double> joined = r.output;
    for (const auto* part : {&r.d_query, &r.d_key, &r.d_value, &r.d_bias}) {
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
