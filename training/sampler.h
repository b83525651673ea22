#pragma once
// In which order the rows of a data set are taken, epoch by epoch.

#include <cstdint>
#include <vector>

namespace mica {

/// The order of an epoch depends on its number, and on the seed where there is one; so a run can go on at any step.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// Numbers of rows.
  virtual std::vector<int64_t> order(uint64_t epoch) const = 0;
  /// How many rows an epoch takes.
  virtual int64_t size() const = 0;
};

/// As they stand.
class SequentialSampler : public Sampler {
 public:
  explicit SequentialSampler(int64_t rows) : rows_(rows) {}
  std::vector<int64_t> order(uint64_t epoch) const override;
  int64_t size() const override { return rows_; }

 private:
  int64_t rows_;
};

/// Shuffled anew for each epoch.
class RandomSampler : public Sampler {
 public:
  RandomSampler(int64_t rows, uint64_t seed) : rows_(rows), seed_(seed) {}
  std::vector<int64_t> order(uint64_t epoch) const override;
  int64_t size() const override { return rows_; }

 private:
  int64_t rows_;
  uint64_t seed_;
};

/// Shuffled, then sorted by length, longest first, within groups of many batches (50, or as many as make four groups),
/// so that the rows of a batch are about as long as each other and batches still come in a random mixture of lengths.
/// The longest row comes first of all: what does not fit into memory shows at once.
class LengthGroupedSampler : public Sampler {
 public:
  /// `lengths`: of each row. Throws Error for a batch size below 1.
  LengthGroupedSampler(std::vector<int64_t> lengths, int64_t batch_size, uint64_t seed);
  std::vector<int64_t> order(uint64_t epoch) const override;
  int64_t size() const override { return static_cast<int64_t>(lengths_.size()); }

 private:
  std::vector<int64_t> lengths_;
  int64_t batch_size_;
  uint64_t seed_;
};

}  // namespace mica
