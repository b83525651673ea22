// What a Trainer leaves on disk, and how it goes on from there.

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/warnings.h"
#include "mica/models/auto/lora.h"
#include "mica/tensor/safetensors.h"
#include "mica/training/checkpoint.h"
#include "mica/training/trainer_impl.h"

namespace mica {
namespace {

// The values of a checkpoint: of the adapter alone, where the model has one.
void load_values(const Model& model, const std::string& folder) {
  if (!has_adapters(model)) return load_weights(model, folder);
  load_adapter_values(model, folder, adapter_names(model).front());
}

}  // namespace

void Trainer::Impl::save_model(const std::string& folder) const {
  make_directories(folder);
  if (options.save) {
    options.save(folder);
  } else if (has_adapters(model)) {
    save_adapter(model, folder, adapter_names(model).front(), options.adapter_base_model);
    model.config().save_pretrained(folder);
  } else {
    model.save_pretrained(folder);
  }
  if (options.processing_class) options.processing_class->save_pretrained(folder);
  write_file_atomically(join_path(folder, "training_args.json"), to_json(arguments));
}

void Trainer::Impl::load_model(const std::string& folder) const {
  if (options.load) {
    options.load(folder);
  } else {
    load_values(model, folder);
  }
}

void Trainer::Impl::save_checkpoint() {
  const std::string& output = arguments.output_dir;
  const std::string folder = checkpoint_folder(output, state.global_step);
  if (state.best_global_step == state.global_step) state.best_model_checkpoint = folder;
  const NamedTensors moments = arguments.save_only_model ? NamedTensors() : optimizer_state();
  const auto write = [&] {
    write_checkpoint(output, state.global_step, [&](const std::string& unfinished) {
      save_model(unfinished);
      if (!arguments.save_only_model) {
        save_safetensors(join_path(unfinished, "optimizer.safetensors"), moments);
        write_file_atomically(join_path(unfinished, "scheduler.json"), schedule->state());
      }
      write_file_atomically(join_path(unfinished, "trainer_state.json"), state.to_json());
    });
    if (arguments.save_total_limit) {
      const bool keeps_best = arguments.load_best_model_at_end || arguments.save_strategy == SaveStrategy::best;
      // The best one and the last one both stay, also where one is the limit.
      const int64_t limit = keeps_best && state.best_global_step && state.best_global_step != state.global_step
                                ? std::max<int64_t>(2, *arguments.save_total_limit)
                                : *arguments.save_total_limit;
      rotate_checkpoints(output, limit, keeps_best ? state.best_global_step : std::nullopt);
    }
  };
  together(group, [&] {
    if (is_first()) write();
  });
  announce(&TrainerCallback::on_save, folder);
}

void Trainer::Impl::resume(const RunPlan& plan) {
  std::string folder = arguments.resume_from_checkpoint;
  if (folder.empty() || folder == "false" || folder == "False") return;
  if (folder == "true" || folder == "True" || folder == "last") {
    together(group, [&] {
      const std::optional<std::string> last = last_checkpoint(arguments.output_dir);
      if (is_first() && !last)
        throw Error("no checkpoint to resume from", arguments.output_dir, "train from the start, or name a folder");
      folder = last.value_or("");
    });
    folder = broadcast_text(group, folder);
  }
  together(group, [&] { load_checkpoint(plan, folder); });
}

void Trainer::Impl::load_checkpoint(const RunPlan& plan, const std::string& folder) {
  const std::string state_path = join_path(folder, "trainer_state.json");
  const std::string optimizer_path = join_path(folder, "optimizer.safetensors");
  TrainerState read = TrainerState::from_json(read_file(state_path), state_path);
  if (!file_exists(optimizer_path)) {
    throw Error("no optimizer.safetensors", folder, "it was saved with save_only_model: it opens as a model, no more");
  }
  const SafeTensors tensors = SafeTensors::open(optimizer_path);
  NamedTensors named;
  for (const TensorEntry& entry : tensors.entries()) named.emplace_back(entry.name, tensors.tensor(entry.name));
  if (is_first()) load_model(folder);
  optimizer->load_state(named, optimizer_path);
  const std::string schedule_path = join_path(folder, "scheduler.json");
  schedule->load_state(read_file(schedule_path), schedule_path);
  if (read.global_step > plan.max_steps) {
    throw Error("the checkpoint is of step " + std::to_string(read.global_step) + ", the run has " +
                    std::to_string(plan.max_steps),
                folder, "train for more epochs or steps");
  }
  if (is_first() &&
      (read.max_steps != plan.max_steps || read.train_batch_size != arguments.per_device_train_batch_size)) {
    warn(folder + " was saved by a run of " + std::to_string(read.max_steps) + " steps of " +
         std::to_string(read.train_batch_size) + " rows; this one has " + std::to_string(plan.max_steps) + " of " +
         std::to_string(arguments.per_device_train_batch_size));
  }
  state = std::move(read);
}

void Trainer::Impl::load_best() {
  together(group, [&] {
    if (!is_first()) return;
    if (!state.best_model_checkpoint.empty() && directory_exists(state.best_model_checkpoint)) {
      load_model(state.best_model_checkpoint);
    } else {
      warn("load_best_model_at_end: no checkpoint of the best step was saved; the model is that of the last step");
    }
  });
  share_values();
}

}  // namespace mica
