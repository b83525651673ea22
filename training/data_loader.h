#pragma once
// Batches of a data set, in the order of a sampler, collated ahead of time by threads of their own.

#include <cstdint>
#include <memory>
#include <optional>

#include "mica/models/inputs.h"
#include "mica/training/collators/collator.h"
#include "mica/training/dataset/dataset.h"
#include "mica/training/sampler.h"

namespace mica {

struct DataLoaderOptions {
  int64_t batch_size = 8;
  bool drop_last = false;   ///< leaves the last batch out where it is not full
  int num_workers = 0;      ///< threads; 0: the caller's own makes each batch when it is asked for
  int prefetch_factor = 2;  ///< batches that each worker makes ahead
  uint64_t seed = 0;        ///< of what the collator draws at random
};

/// The batches of one epoch, in order. One thread takes them.
class BatchStream {
 public:
  BatchStream(BatchStream&&) noexcept;
  BatchStream& operator=(BatchStream&&) noexcept;
  /// Waits for the workers' batches at hand.
  ~BatchStream();

  /// Nothing after the last. An exception of the data set or the collator reaches the caller in its batch's place, and
  /// ends the stream.
  std::optional<ModelInputs> next();

 private:
  friend class DataLoader;
  struct Impl;
  explicit BatchStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Batches are the same however many workers there are.
class DataLoader {
 public:
  /// Without a sampler in the data set's order. Throws Error for an empty data set and for options out of
  /// range.
  DataLoader(Dataset dataset, std::shared_ptr<const DataCollator> collator, DataLoaderOptions options = {},
             std::shared_ptr<const Sampler> sampler = nullptr);

  /// Batches in an epoch.
  int64_t size() const;
  /// The epoch from its batch number `first_batch` on. Independent of the loader's life.
  BatchStream epoch(uint64_t epoch, int64_t first_batch = 0) const;

  const Dataset& dataset() const { return dataset_; }
  const DataLoaderOptions& options() const { return options_; }

 private:
  Dataset dataset_;
  std::shared_ptr<const DataCollator> collator_;
  DataLoaderOptions options_;
  std::shared_ptr<const Sampler> sampler_;
};

}  // namespace mica
