// The order in which a Trainer takes rows.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/training/trainer_impl.h"

namespace mica {
namespace {

std::vector<int64_t> lengths_of(const Dataset& dataset, const std::string& column) {
  const std::vector<std::string> names = dataset.column_names();
  const bool given = std::find(names.begin(), names.end(), column) != names.end();
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    lengths.push_back(given ? dataset.cell(i, column).as_int() : dataset.cell(i, "input_ids").size());
  }
  return lengths;
}

}  // namespace

DataLoader Trainer::Impl::training_loader() const {
  const TrainingArguments& a = arguments;
  const auto seed = static_cast<uint64_t>(a.data_seed.value_or(a.seed));
  const bool by_length = a.group_by_length || a.train_sampling_strategy == SamplingStrategy::group_by_length;
  std::shared_ptr<const Sampler> sampler;
  if (by_length) {
    sampler =
        std::make_shared<LengthGroupedSampler>(lengths_of(*train_dataset, a.length_column_name),
                                               a.per_device_train_batch_size * a.gradient_accumulation_steps, seed);
  } else if (a.train_sampling_strategy == SamplingStrategy::random) {
    sampler = std::make_shared<RandomSampler>(train_dataset->size(), seed);
  }
  return DataLoader(*train_dataset, collator,
                    {.batch_size = a.per_device_train_batch_size,
                     .drop_last = a.dataloader_drop_last,
                     .num_workers = static_cast<int>(a.dataloader_num_workers),
                     .prefetch_factor = static_cast<int>(a.dataloader_prefetch_factor.value_or(2)),
                     .seed = seed},
                    sampler);
}

DataLoader Trainer::Impl::evaluation_loader(const Dataset& dataset) const {
  return DataLoader(dataset, collator,
                    {.batch_size = arguments.per_device_eval_batch_size,
                     .num_workers = static_cast<int>(arguments.dataloader_num_workers),
                     .prefetch_factor = static_cast<int>(arguments.dataloader_prefetch_factor.value_or(2)),
                     .seed = static_cast<uint64_t>(arguments.seed)});
}

}  // namespace mica
