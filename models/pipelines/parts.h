#pragma once
// What the pipelines have in common: a model, its tokenizer, and the options of opening and calling.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/models/pipelines/batches.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {

struct PipelineOptions {
  std::optional<DType> dtype{};  ///< of matrix products: float32 or bfloat16; left out, as the checkpoint's weights
  Device device;
};

/// Every pipeline's call takes these besides its own options.
struct CallOptions {
  int64_t batch_size = 32;
  Progress progress = {};  ///< told about each finished batch
};

/// A model folder or hub id opened for a task. A head that the folder lacks is made anew, with one warning.
struct PipelineParts {
  Model model;
  Tokenizer tokenizer;
  static PipelineParts open(const std::string& name_or_folder, Task task, const PipelineOptions& options);
};

/// exp(x - max) / sum, and 1 / (1 + exp(-x)), in place.
void softmax_in_place(std::span<float> x);
void sigmoid_in_place(std::span<float> x);

}  // namespace mica
