// Keys and values in 8 bits: how far they are off, what they take, and that nobody can tell how a text came.

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/models/modules/cache.h"
#include "mica/tests/support/guarded_device.h"

namespace mica {
namespace {

using test::test_device;

// One layer's rows, and what the cache gave back for all of them.
class Rows8 {
 public:
  Rows8(int64_t window, const CacheQuantization& quantization)
      : cache_(std::vector<int64_t>{window, 0}, 2, 16, test_device()) {
    cache_.quantize(quantization);
  }
  // In calls that make no difference. `looks`: at what the last one read.
  void add(const std::vector<int64_t>& counts, bool looks = false) {
    std::vector<int64_t> left = counts;
    while (left[0] > 0 || left[1] > 0) {
      std::vector<int64_t> now;
      for (int64_t row = 0; row < 2; ++row) {
        const auto at = static_cast<size_t>(row);
        now.push_back(std::min(left[at], cache_.room(row)));
        left[at] -= now[at];
      }
      call(now, looks && left == std::vector<int64_t>{0, 0});
    }
  }
  void call(const std::vector<int64_t>& counts, bool looks = false) {
    const NoGrad no_grad;
    std::vector<Tensor> rows;
    for (int64_t row = 0; row < 2; ++row) {
      const int64_t from = cache_.length(row);
      rows.push_back(rows_of(row).slice(0, from, from + counts[static_cast<size_t>(row)]));
    }
    const Tensor key = cat(rows, 0).to(test_device());
    cache_.begin(counts);
    for (int64_t layer = 0; layer < 2; ++layer) {
      const auto [keys, values] = cache_.append(layer, key, key);
      const SequenceOffsets& offsets = cache_.offsets(layer);
      for (int64_t row = 0; looks && row < 2; ++row) {
        const auto read = [&](const Tensor& x) {
          const int64_t begin = offsets.begin(row), end = begin + offsets.length(row);
          return x.slice(0, begin, end).to_vector<float>();
        };
        seen_[layer][row] = read(keys);
        EXPECT_EQ(read(values), seen_[layer][row]);
      }
    }
    cache_.end();
  }
  const std::vector<float>& seen(size_t layer, size_t row) const { return seen_[layer][row]; }
  KeyValueCache& cache() { return cache_; }
  // What row `row` was given, [6000, 2, 24].
  static const Tensor& rows_of(int64_t row) {
    static const std::vector<Tensor> both = [] {
      manual_seed(4);
      return std::vector<Tensor>{normal({6000, 2, 24}, 0, 1), normal({6000, 2, 24}, 0, 3)};
    }();
    return both[static_cast<size_t>(row)];
  }

 private:
  KeyValueCache cache_;
  std::vector<float> seen_[2][2];
};

TEST(QuantizedCache, OlderTokensAreWithinTheBoundAndNewerOnesAsTheyAre) {
  const CacheQuantization quantization{.group_size = 16, .residual_length = 100};
  Rows8 rows(0, quantization);
  for (const std::vector<int64_t>& counts : {std::vector<int64_t>{700, 90}, {1, 1}, {60, 400}, {5, 0}}) {
    rows.add(counts, true);
  }
  for (int64_t row = 0; row < 2; ++row) {
    const std::vector<float> given = Rows8::rows_of(row).to_vector<float>();
    const std::vector<float>& seen = rows.seen(0, static_cast<size_t>(row));
    const int64_t length = rows.cache().length(row);
    ASSERT_EQ(static_cast<int64_t>(seen.size()), length * 48);
    // The last call's tokens are all of one block.
    const int64_t rounded = quantization.rounded(length - (row == 0 ? 5 : 1));
    EXPECT_EQ(rounded, row == 0 ? 540 : 284);
    int64_t differ = 0;
    for (int64_t head = 0; head < length * 2; ++head) {
      for (int64_t first = head * 24; first < head * 24 + 24; first += 16) {
        const int64_t last = std::min(first + 16, head * 24 + 24);
        float most = 0;
        for (int64_t i = first; i < last; ++i) most = std::max(most, std::abs(given[static_cast<size_t>(i)]));
        const double bound = (0.5 + 0x1p-14) * static_cast<double>(most) / 127;
        for (int64_t i = first; i < last; ++i) {
          const auto at = static_cast<size_t>(i);
          if (head / 2 >= rounded) {
            ASSERT_EQ(seen[at], given[at]) << "token " << head / 2;
          } else {
            ASSERT_LE(std::abs(static_cast<double>(seen[at]) - static_cast<double>(given[at])), bound);
            differ += seen[at] != given[at] ? 1 : 0;
          }
        }
      }
    }
    EXPECT_GT(differ, rounded * 40);
  }
}

// Call by call, with a window that forgets and without; copies of a row; rows cut and gone on with.
TEST(QuantizedCache, HowATextComesMakesNoDifference) {
  for (const int64_t window : {0, 100}) {
    SCOPED_TRACE(window);
    const CacheQuantization quantization{.group_size = 24, .residual_length = 60};
    Rows8 once(window, quantization), often(window, quantization);
    once.add({5000, 700});
    once.add({1, 1}, true);
    for (int i = 0; i < 100; ++i) often.add({50, 7});
    often.add({1, 1}, true);
    const auto expect_same = [&](size_t row, size_t of) {
      for (const size_t layer : {0, 1}) {
        // Windows forget at different times; the last that a query may see are there.
        const std::vector<float>&a = once.seen(layer, row), &b = often.seen(layer, of);
        const size_t both = window > 0 && layer == 0 ? static_cast<size_t>(window) * 48 : a.size();
        ASSERT_GE(a.size(), both);
        ASSERT_GE(b.size(), both);
        EXPECT_TRUE(std::equal(a.end() - static_cast<std::ptrdiff_t>(both), a.end(),
                               b.end() - static_cast<std::ptrdiff_t>(both)));
      }
    };
    for (const size_t row : {0, 1}) expect_same(row, row);
    // Drafts that are not taken.
    often.add({30, 64});
    for (const int64_t row : {0, 1}) ASSERT_TRUE(often.cache().may_truncate(row, row == 0 ? 5001 : 701));
    often.cache().truncate(0, 5001);
    often.cache().truncate(1, 701);
    once.add({1, 1}, true);
    often.add({1, 1}, true);
    for (const size_t row : {0, 1}) expect_same(row, row);
    EXPECT_FALSE(often.cache().may_truncate(1, 300));
    EXPECT_THROW(often.cache().truncate(1, 300), Error);
    often.cache().truncate(1, 0);
    EXPECT_EQ(often.cache().length(1), 0);
  }
}

// A call that reaches over blocks (a prefix of virtual tokens) stores the same, too.
TEST(QuantizedCache, ALongCallStoresWhatShortOnesDo) {
  for (const int64_t window : {0, 100}) {
    const CacheQuantization quantization{.group_size = 24, .residual_length = 60};
    Rows8 once(window, quantization), often(window, quantization);
    once.call({4500, 300});
    often.add({4500, 300});
    once.add({3, 2}, true);
    often.add({3, 2}, true);
    for (const size_t row : {0, 1}) {
      for (const size_t layer : {0, 1}) {
        const std::vector<float>&a = once.seen(layer, row), &b = often.seen(layer, row);
        const std::ptrdiff_t last = window > 0 && layer == 0 ? 100 * 48 : static_cast<std::ptrdiff_t>(a.size());
        EXPECT_TRUE(std::equal(a.end() - last, a.end(), b.end() - last));
      }
    }
  }
}

TEST(QuantizedCache, IsAThirdOfFloat32AndTwoThirdsOfBfloat16) {
  const NoGrad no_grad;
  constexpr int64_t kLayers = 32, kTokens = 8192;
  for (const auto& [dtype, share] : {std::pair{DType::float32, 0.35}, std::pair{DType::bfloat16, 0.65}}) {
    KeyValueCache whole(kLayers, 1, kTokens), small(kLayers, 1, kTokens);
    small.quantize({});
    const Tensor rows = normal({kTokens, 1, 64}, 0, 1).to(dtype);
    for (KeyValueCache* each : {&whole, &small}) {
      each->begin(std::vector<int64_t>{kTokens});
      for (int64_t layer = 0; layer < kLayers; ++layer) each->append(layer, rows, rows);
      each->end();
    }
    EXPECT_EQ(whole.bytes(), kLayers * kTokens * 2 * 64 * item_size(dtype));
    const double have = static_cast<double>(small.bytes()) / static_cast<double>(whole.bytes());
    EXPECT_LT(have, share) << name(dtype);
    RecordProperty(std::string(name(dtype)), std::to_string(have));
  }
}

TEST(QuantizedCache, IsAskedForBeforeTheFirstToken) {
  KeyValueCache cache(1, 1, 8, test_device());
  const Tensor rows = Tensor::zeros({1, 1, 4}, DType::float32, test_device());
  cache.begin(std::vector<int64_t>{1});
  cache.append(0, rows, rows);
  cache.end();
  EXPECT_THROW(cache.quantize({}), Error);
  KeyValueCache none(0, 1, 8);
  EXPECT_THROW(none.quantize({}), Error);
}

}  // namespace
}  // namespace mica
