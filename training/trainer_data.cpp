// The order in which a Trainer takes rows, and the batches of a step.

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/training/loss.h"
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

// One process's batches of an order: of every `processes` in a row the one at its rank. Without the rows of a last
// round that is not full, if those are dropped.
class ShareOfBatches : public Sampler {
 public:
  ShareOfBatches(std::shared_ptr<const Sampler> whole, int64_t batch, bool drop_last, int64_t rank, int64_t processes)
      : whole_(std::move(whole)), batch_(batch), drop_last_(drop_last), rank_(rank), processes_(processes) {}

  std::vector<int64_t> order(uint64_t epoch) const override {
    const std::vector<int64_t> all = whole_->order(epoch);
    std::vector<int64_t> mine;
    each_of(static_cast<int64_t>(all.size()), [&](int64_t i) { mine.push_back(all[static_cast<size_t>(i)]); });
    return mine;
  }
  int64_t size() const override {
    int64_t count = 0;
    each_of(whole_->size(), [&](int64_t) { ++count; });
    return count;
  }

 private:
  template <typename F>
  void each_of(int64_t rows, const F& f) const {
    const int64_t round = batch_ * processes_;
    const int64_t end = drop_last_ ? rows / round * round : rows;
    for (int64_t first = rank_ * batch_; first < end; first += round) {
      for (int64_t i = first; i < std::min(first + batch_, end); ++i) f(i);
    }
  }
  std::shared_ptr<const Sampler> whole_;
  int64_t batch_;
  bool drop_last_;
  int64_t rank_, processes_;
};

}  // namespace

StepBatches Trainer::Impl::take_batches(BatchStream* stream, int64_t count) {
  StepBatches taken;
  int64_t items = 0, tokens = 0;
  together(group, [&] {
    for (int64_t i = 0; i < count; ++i) {
      std::optional<ModelInputs> batch = stream->next();
      if (!batch) break;
      taken.batches.push_back(std::move(*batch));
    }
    const bool weigh = group != nullptr || taken.batches.size() > 1;
    for (const ModelInputs& batch : taken.batches) {
      if (arguments.include_num_input_tokens_seen) tokens += batch_tokens(batch);
      taken.items.push_back(!weigh ? 1 : options.compute_loss ? batch_rows(batch) : loss_items(model, batch));
      items += taken.items.back();
    }
    if (group != nullptr || !taken.batches.empty()) notify(&TrainerCallback::on_step_begin);
  });
  taken.all_items = items;
  taken.all_batches = static_cast<int64_t>(taken.batches.size());
  if (group != nullptr) {
    const Tensor sums = Tensor::from(std::vector<int64_t>{taken.all_items, taken.all_batches, tokens});
    group->all_reduce(sums);
    const auto all = sums.to_vector<int64_t>();
    taken.all_items = all[0];
    taken.all_batches = all[1];
    tokens = all[2];
  }
  state.num_input_tokens_seen += tokens;
  return taken;
}

DataLoader Trainer::Impl::training_loader() const {
  const TrainingArguments& a = arguments;
  const auto seed = static_cast<uint64_t>(a.data_seed.value_or(a.seed));
  const bool by_length = a.group_by_length || a.train_sampling_strategy == SamplingStrategy::group_by_length;
  std::shared_ptr<const Sampler> sampler;
  if (by_length) {
    sampler = std::make_shared<LengthGroupedSampler>(
        lengths_of(*train_dataset, a.length_column_name),
        a.per_device_train_batch_size * a.gradient_accumulation_steps * size_of(group), seed);
  } else if (a.train_sampling_strategy == SamplingStrategy::random) {
    sampler = std::make_shared<RandomSampler>(train_dataset->size(), seed);
  } else {
    sampler = std::make_shared<SequentialSampler>(train_dataset->size());
  }
  if (group != nullptr) {
    sampler = std::make_shared<ShareOfBatches>(sampler, a.per_device_train_batch_size, a.dataloader_drop_last,
                                               group->rank(), group->size());
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
