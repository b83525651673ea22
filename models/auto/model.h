#pragma once
// Model: a network with a head, its parameters and its config. A handle: copies name one and the same model.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/models/config.h"
#include "mica/models/heads/head.h"
#include "mica/models/inputs.h"
#include "mica/tokenizers/batch_encoding.h"

namespace mica {

/// How a model is opened. Fields of the config that are named here win over the file's.
struct LoadOptions {
  int64_t num_labels = 0;           ///< 0: as the config says
  std::vector<std::string> labels;  ///< names by id; gives num_labels too
  std::string problem_type;         ///< "regression", "single_label_classification", "multi_label_classification"
  /// Of matrix products; on a CPU parameters and activations stay float32 (see BuildOptions).
  DType dtype = DType::float32;
  Device device;
  bool ignore_mismatched_sizes = false;  ///< make tensors of another shape than the config's anew
  bool add_pooling_layer = true;         ///< false: a base model without its pooler, for callers who pool themselves
};

class Model {
 public:
  /// The model as a published folder or hub id holds it, for a task. Throws Error when the folder, its config or its
  /// weights don't fit; a head that the weights lack is made anew, with one warning (base/warnings.h).
  static Model from_pretrained(const std::string& name_or_folder, Task task, const LoadOptions& options = {});
  /// The same with random weights: `manual_seed` (autograd/random.h) makes them repeatable.
  static Model from_config(const Config& config, Task task, const LoadOptions& options = {});

  ModelOutput operator()(const ModelInputs& inputs) const;
  /// Of a tokenizer's result: rows of unequal lengths run as a ragged batch, without padding.
  ModelOutput operator()(const BatchEncoding& encoding) const;

  const Config& config() const;
  Task task() const;
  Device device() const;
  /// Every parameter under its name on disk, in the order in which it was built.
  const std::vector<std::pair<std::string, Tensor>>& parameters() const;
  int64_t num_parameters() const;
  /// Longest input in tokens, 0 if there is no limit.
  int64_t max_tokens() const;
  int64_t hidden_size() const;

  /// Training mode applies dropout; a new model is in evaluation mode.
  void train(bool on = true) const;
  void eval() const { train(false); }
  void zero_grad() const;

  /// Writes config.json and model.safetensors (sharded beyond `max_shard_bytes`): a folder that transformers opens.
  void save_pretrained(const std::string& folder, int64_t max_shard_bytes = 5'000'000'000) const;

 private:
  struct Impl;
  explicit Model(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  static Model build(Config config, Task task, const LoadOptions& options, const std::string& folder);
  std::shared_ptr<Impl> impl_;
};

/// A tokenizer's result as a model's arguments: [batch, tokens] when all rows are equally long, else a ragged batch.
ModelInputs to_inputs(const BatchEncoding& encoding);

}  // namespace mica
