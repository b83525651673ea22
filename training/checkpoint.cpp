#include "mica/training/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tensor/checkpoint.h"

namespace mica {
namespace {

constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kUnfinished = ".unfinished-checkpoint-";

std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (name.empty() || error != std::errc() || end != name.data() + name.size() || step < 0) return std::nullopt;
  return step;
}

// Takes the name away first, so that no half of it is ever found under it.
void remove_checkpoint(const std::string& output_dir, int64_t step) {
  const std::string doomed = join_path(output_dir, std::string(kUnfinished) + std::to_string(step) + "-old");
  remove_directory(doomed);
  publish_directory(checkpoint_folder(output_dir, step), doomed);
  remove_directory(doomed);
}

}  // namespace

std::string checkpoint_folder(const std::string& output_dir, int64_t step) {
  return join_path(output_dir, std::string(kPrefix) + std::to_string(step));
}

std::vector<int64_t> checkpoint_steps(const std::string& output_dir) {
  std::vector<int64_t> steps;
  for (const std::string& name : list_directory(output_dir)) {
    if (const auto step = step_of(name)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::optional<std::string> last_checkpoint(const std::string& output_dir) {
  const std::vector<int64_t> steps = checkpoint_steps(output_dir);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    std::string folder = checkpoint_folder(output_dir, *step);
    if (file_exists(join_path(folder, "trainer_state.json"))) return folder;
  }
  return std::nullopt;
}

void write_checkpoint(const std::string& output_dir, int64_t step,
                      const std::function<void(const std::string&)>& write) {
  make_directories(output_dir);
  for (const std::string& name : list_directory(output_dir)) {
    if (name.starts_with(kUnfinished)) remove_directory(join_path(output_dir, name));
  }
  const std::string folder = join_path(output_dir, std::string(kUnfinished) + std::to_string(step));
  try {
    make_directories(folder);
    write(folder);
    if (directory_exists(checkpoint_folder(output_dir, step))) remove_checkpoint(output_dir, step);
    publish_directory(folder, checkpoint_folder(output_dir, step));
  } catch (...) {
    remove_directory(folder);
    throw;
  }
}

void rotate_checkpoints(const std::string& output_dir, int64_t limit, std::optional<int64_t> kept) {
  const std::vector<int64_t> steps = checkpoint_steps(output_dir);
  auto left = static_cast<int64_t>(steps.size());
  for (const int64_t step : steps) {
    if (left <= limit) return;
    if (step == kept || step == steps.back()) continue;
    remove_checkpoint(output_dir, step);
    --left;
  }
}

void load_weights(const Model& model, const std::string& folder) {
  const NoGrad no_grad;
  const Checkpoint checkpoint = Checkpoint::open(folder);
  for (const auto& [name, parameter] : model.parameters()) {
    if (checkpoint.find(name) == nullptr) {
      throw Error("no weights named " + name, folder, "take a checkpoint of the same model");
    }
    const Tensor value = checkpoint.tensor(name);
    if (value.shape() != parameter.shape()) {
      throw Error(name + " has shape " + to_string(value.shape()) + ", the model's is " + to_string(parameter.shape()),
                  folder, "take a checkpoint of the same model");
    }
    parameter.detach().copy_(value);
  }
}

}  // namespace mica
