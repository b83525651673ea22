#pragma once
// Model: a network with a head, its parameters and its config. A handle: copies name one and the same model.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/models/config.h"
#include "mica/models/heads/head.h"
#include "mica/models/inputs.h"
#include "mica/tokenizers/batch_encoding.h"

namespace mica {

// Of models/generation/, a floor above: generate() is declared here, as the guide has it, and defined there.
struct GenerationConfig;
struct GenerationHooks;
struct GenerationOutput;

/// How a model is opened. Fields of the config that are named here win over the file's.
struct LoadOptions {
  int64_t num_labels = 0;             ///< 0: as the config says
  std::vector<std::string> labels{};  ///< names by id; gives num_labels too
  std::string problem_type{};         ///< "regression", "single_label_classification", "multi_label_classification"
  /// Of matrix products; left out, the checkpoint's. On a CPU activations stay float32, and so do parameters, but for
  /// the matrices of a bfloat16 or float16 checkpoint whose dtype is kept: they are read where the file has them. The
  /// first call that records gradients, or train(), widens those to float32. (float32 here widens them at once.)
  std::optional<DType> dtype{};
  Device device{};
  bool ignore_mismatched_sizes = false;  ///< make tensors of another shape than the config's anew
  int64_t max_parameters = 0;            ///< an Error beyond, before they are allocated; 0: what memory holds
  /// Any fields of the config, each with a value written as JSON (text that is none is a string); they win over all
  /// else.
  std::vector<std::pair<std::string, std::string>> config{};
  bool add_pooling_layer = true;  ///< false: a base model without its pooler, for callers who pool themselves
};

/// How the vocabulary's size changes.
struct ResizeOptions {
  int64_t pad_to_multiple_of = 1;  ///< more rows than tokens, up to a multiple of this
  /// New rows are near the mean of the old ones (their distribution, with 1e-9 of its covariance), as transformers 5
  /// makes them; false: normal with the config's initializer_range.
  bool mean_resizing = true;
};

class Model {
 public:
  /// The model as a published folder or hub id holds it, for a task. Throws Error when the folder, its config or its
  /// weights don't fit; a folder that holds an adapter alone gives its base model with the adapter
  /// (models/auto/lora.h); a head that the weights lack is made anew, with one warning (base/warnings.h).
  static Model from_pretrained(const std::string& name_or_folder, Task task, const LoadOptions& options = {});
  /// The same with random weights: `manual_seed` (autograd/random.h) makes them repeatable.
  static Model from_config(const Config& config, Task task, const LoadOptions& options = {});

  ModelOutput operator()(const ModelInputs& inputs) const;
  /// Of a tokenizer's result: rows of unequal lengths run as a ragged batch, without padding.
  ModelOutput operator()(const BatchEncoding& encoding) const;

  /// Texts that go on from `inputs` (see models/generation/generate.h, which callers include):
  ///
  ///     model.generate(tokenizer(prompts), {.max_new_tokens = 50, .do_sample = true, .temperature = 0.7})
  ///
  /// The settings are the model's own, but for those given here. Prompts are what the attention_mask shows of each row:
  /// padding, on either side, makes no difference. An encoder-decoder's encoder reads the inputs, and its text goes on
  /// from decoder_input_ids, else from the start token. Throws Error for a model without a language head, a mask with
  /// gaps, and a prompt beyond the model's context unless the settings say truncate_prompt.
  GenerationOutput generate(const ModelInputs& inputs) const;
  GenerationOutput generate(const ModelInputs& inputs, const GenerationConfig& over) const;
  GenerationOutput generate(const ModelInputs& inputs, const GenerationConfig& over,
                            const GenerationHooks& hooks) const;
  GenerationOutput generate(const BatchEncoding& encoding) const;
  GenerationOutput generate(const BatchEncoding& encoding, const GenerationConfig& over) const;
  GenerationOutput generate(const BatchEncoding& encoding, const GenerationConfig& over,
                            const GenerationHooks& hooks) const;
  /// Settings that generate() starts from: the folder's generation_config.json, else those in config.json. Throws Error
  /// for a model without a language head.
  const GenerationConfig& generation_config() const;
  void set_generation_config(const GenerationConfig& config) const;

  const Config& config() const;
  Task task() const;
  Device device() const;
  DType dtype() const;  ///< of matrix products, as LoadOptions says
  /// Every parameter under its name on disk, in the order in which it was built.
  const std::vector<std::pair<std::string, Tensor>>& parameters() const;
  int64_t num_parameters() const;
  /// Layers that can have low-rank adapters, and the adapters there are (models/auto/lora.h, prompt_tuning.h).
  AdapterRegistry& adapters() const;
  /// Longest input in tokens, virtual ones aside; 0 if there is no limit.
  int64_t max_tokens() const;
  int64_t hidden_size() const;
  /// The network below the head, and the head; head() throws Error for a base model, which has none.
  const Network& network() const;
  const Head& head() const;

  /// Gives the word embeddings, and the output layer of a language head, tied or not, this many rows: after tokens were
  /// added, as many as tokenizer.size() says. Rows that stay keep their values; every other parameter stays the very
  /// same tensor. Sets config.vocab_size; returns the number of rows. `new_num_tokens` 0 keeps the number and only pads
  /// it. Throws Error for a size that is none, or one that a special token's id in the config lies beyond.
  int64_t resize_token_embeddings(int64_t new_num_tokens, const ResizeOptions& options = {});

  /// Training mode applies dropout; a new model is in evaluation mode.
  void train(bool on = true) const;
  void eval() const { train(false); }
  bool training() const;
  void zero_grad() const;
  /// Moves the parameters to another device, in place, as torch's Module.to does: every handle of this model sees it.
  /// Make optimizers afterwards. Throws Error where there is no such device.
  const Model& to(Device device) const;
  /// In training mode the layers keep their inputs alone and run again in the backward pass: a third of the memory of
  /// activations or less, a third more time, the same bits.
  void gradient_checkpointing_enable(bool on = true) const;

  /// Writes config.json, model.safetensors (sharded beyond `max_shard_bytes`) and, of a model that generates,
  /// generation_config.json: a folder that transformers opens.
  void save_pretrained(const std::string& folder, int64_t max_shard_bytes = 5'000'000'000) const;

 private:
  struct Impl;
  ModelOutput run(const ModelInputs& inputs) const;
  explicit Model(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  static Model build(Config config, Task task, const LoadOptions& options, const std::string& folder);
  static std::shared_ptr<Impl> assemble(Config config, Task task, const LoadOptions& options, ParameterStore store,
                                        const std::string& where);
  // Of a folder, or, where that is empty, of the config alone.
  static std::shared_ptr<const GenerationConfig> read_generation_config(const std::string& folder,
                                                                        const Config& config);
  static void save_generation_config(const GenerationConfig& config, const std::string& folder);
  void keep_generation_config(std::shared_ptr<const GenerationConfig> config) const;
  std::shared_ptr<Impl> impl_;
};

/// A tokenizer's result as a model's arguments: [batch, tokens] when all rows are equally long, else a ragged batch.
ModelInputs to_inputs(const BatchEncoding& encoding);

}  // namespace mica
