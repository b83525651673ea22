// Orders of rows, and batches made ahead of time.

#include "mica/training/data_loader.h"

#include <algorithm>
#include <numeric>
#include <thread>

#include <gtest/gtest.h>

#include "mica/tests/training/dataset_support.h"

namespace mica {
namespace {

using Ints = std::vector<int64_t>;

Ints sorted(Ints values) {
  std::sort(values.begin(), values.end());
  return values;
}

Ints counting(int64_t n) {
  Ints values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), int64_t{0});
  return values;
}

TEST(Sampler, OrdersAreWholeAndRepeatable) {
  EXPECT_EQ(SequentialSampler(5).order(3), counting(5));
  const RandomSampler random(1000, 7);
  EXPECT_EQ(sorted(random.order(0)), counting(1000));
  EXPECT_EQ(random.order(1), RandomSampler(1000, 7).order(1));
  EXPECT_NE(random.order(0), random.order(1));
  EXPECT_NE(random.order(0), RandomSampler(1000, 8).order(0));
}

TEST(Sampler, EveryRowComesFirstAboutAsOften) {
  std::vector<int> first(10);
  for (uint64_t epoch = 0; epoch < 10'000; ++epoch) ++first[static_cast<size_t>(RandomSampler(10, 3).order(epoch)[0])];
  for (const int count : first) EXPECT_NEAR(count, 1000, 5 * 30) << "five standard deviations";
}

TEST(Sampler, GroupsByLength) {
  Ints lengths;
  for (int64_t i = 0; i < 1000; ++i) lengths.push_back(1 + i * 7919 % 128);
  const LengthGroupedSampler sampler(lengths, 8, 5);
  const Ints order = sampler.order(0);
  EXPECT_EQ(sorted(order), counting(1000));
  EXPECT_EQ(lengths[static_cast<size_t>(order[0])], 128) << "the longest comes first";
  EXPECT_NE(order, sampler.order(1));
  // What padding costs: the sum over batches of rows x longest row.
  const auto cost = [&](const Ints& rows) {
    int64_t sum = 0;
    for (size_t i = 0; i < rows.size(); i += 8) {
      int64_t longest = 0;
      for (size_t j = i; j < std::min(i + 8, rows.size()); ++j) {
        longest = std::max(longest, lengths[static_cast<size_t>(rows[j])]);
      }
      sum += 8 * longest;
    }
    return static_cast<double>(sum);
  };
  const double tokens = static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), int64_t{0}));
  EXPECT_LT(cost(order), 1.1 * tokens);
  EXPECT_GT(cost(RandomSampler(1000, 5).order(0)), 1.6 * tokens);
  EXPECT_EQ(LengthGroupedSampler({3}, 8, 1).order(0), (Ints{0}));
  EXPECT_TRUE(LengthGroupedSampler({}, 8, 1).order(0).empty());
  EXPECT_ERROR(LengthGroupedSampler({1}, 0, 1), "batch size of 0");
}

Dataset numbers(int64_t n) {
  const Ints values = counting(n);
  return Dataset::from_dict(Dataset::Columns{{"labels", {values.begin(), values.end()}}});
}

std::vector<Ints> batches_of(BatchStream stream) {
  std::vector<Ints> batches;
  while (const std::optional<ModelInputs> inputs = stream.next()) {
    batches.push_back(inputs->labels.to_vector<int64_t>());
  }
  EXPECT_FALSE(stream.next().has_value());
  return batches;
}

const std::shared_ptr<const DataCollator>& stack() {
  static const std::shared_ptr<const DataCollator> collator = std::make_shared<DefaultDataCollator>();
  return collator;
}

TEST(DataLoader, GivesAllBatchesInOrder) {
  const DataLoader loader(numbers(10), stack(), {.batch_size = 4});
  EXPECT_EQ(loader.size(), 3);
  EXPECT_EQ(batches_of(loader.epoch(0)), (std::vector<Ints>{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}}));
  EXPECT_EQ(batches_of(loader.epoch(0, 2)), (std::vector<Ints>{{8, 9}}));
  EXPECT_TRUE(batches_of(loader.epoch(0, 3)).empty());
  EXPECT_EQ(DataLoader(numbers(10), stack(), {.batch_size = 4, .drop_last = true}).size(), 2);
}

TEST(DataLoaderThreads, WorkersChangeNothing) {
  const Dataset dataset = numbers(103);
  const auto sampler = std::make_shared<const RandomSampler>(103, 1);
  const DataLoader alone(dataset, stack(), {.batch_size = 4}, sampler);
  for (const int workers : {1, 3, 8}) {
    const DataLoader loader(dataset, stack(), {.batch_size = 4, .num_workers = workers, .prefetch_factor = 1}, sampler);
    for (const uint64_t epoch : {0U, 1U}) {
      EXPECT_EQ(batches_of(loader.epoch(epoch)), batches_of(alone.epoch(epoch)));
      EXPECT_EQ(batches_of(loader.epoch(epoch, 20)), batches_of(alone.epoch(epoch, 20)));
    }
  }
}

// Fails at one row.
class Picky : public DataCollator {
 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const override {
    for (const Example& each : rows) {
      if (each["labels"].as_int() == 21) throw Error("bad row", "row 21", "");
    }
    return DefaultDataCollator()(rows, context);
  }
};

TEST(DataLoaderThreads, AnExceptionArrivesInItsPlace) {
  for (const int workers : {0, 2}) {
    const DataLoader loader(numbers(40), std::make_shared<Picky>(), {.batch_size = 4, .num_workers = workers});
    BatchStream stream = loader.epoch(0);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(stream.next().has_value());
    EXPECT_ERROR(stream.next(), "bad row");
    EXPECT_FALSE(stream.next().has_value());
  }
}

TEST(DataLoaderThreads, AStreamMayBeLeftEarly) {
  const DataLoader loader(numbers(1000), stack(), {.batch_size = 1, .num_workers = 4});
  for (int i = 0; i < 20; ++i) {
    BatchStream stream = loader.epoch(0);
    for (int j = 0; j < i; ++j) stream.next();
  }
}

TEST(DataLoader, RefusesWhatMakesNoBatches) {
  EXPECT_ERROR(DataLoader(Dataset(), stack()), "the data set is empty");
  EXPECT_ERROR(DataLoader(numbers(3), stack(), {.batch_size = 4, .drop_last = true}), "fewer rows than a batch");
  EXPECT_ERROR(DataLoader(numbers(3), stack(), {.batch_size = 0}), "batch_size is 0");
  EXPECT_ERROR(DataLoader(numbers(3), stack(), {.num_workers = -1}), "num_workers is -1");
  EXPECT_ERROR(DataLoader(numbers(3), nullptr), "no collator");
  EXPECT_ERROR(DataLoader(numbers(3), stack()).epoch(0, 2), "no batch 2");
}

}  // namespace
}  // namespace mica
