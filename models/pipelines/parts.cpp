#include "mica/models/pipelines/parts.h"

#include <algorithm>
#include <cmath>

#include "mica/base/hub.h"

namespace mica {

PipelineParts PipelineParts::open(const std::string& name_or_folder, Task task, const PipelineOptions& options) {
  const std::string folder = resolve_model_folder(name_or_folder);
  Model model = Model::from_pretrained(
      folder, task, {.dtype = options.dtype, .device = options.device, .add_pooling_layer = task != Task::base});
  return {std::move(model), Tokenizer::from_pretrained(folder)};
}

void softmax_in_place(std::span<float> x) {
  if (x.empty()) return;
  const float largest = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (float& value : x) {
    value = std::exp(value - largest);
    sum += static_cast<double>(value);
  }
  for (float& value : x) value = static_cast<float>(static_cast<double>(value) / sum);
}

void sigmoid_in_place(std::span<float> x) {
  for (float& value : x) value = 1 / (1 + std::exp(-value));
}

}  // namespace mica
