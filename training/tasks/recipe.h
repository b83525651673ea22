#pragma once
// A recipe is what a task of `mica train` adds to a Trainer: which head the model gets, how rows become tokens and
// labels, how they become batches, and what is measured.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/training/collators/collator.h"
#include "mica/training/dataset/dataset.h"
#include "mica/training/pretraining.h"
#include "mica/training/trainer.h"

namespace mica {

/// Names of columns, and what else a task can be told. An empty name means the task's own default.
struct RecipeOptions {
  std::string text_column{};       ///< "text"; "tokens" of token classification; "source"; "sentence1"; ...
  std::string text_pair_column{};  ///< a second text beside it, none by default; "target"; "sentence2"; ...
  std::string label_column{};      ///< "label"; "tags" of token classification; "score"
  std::string question_column{}, context_column{}, answers_column{}, choices_column{};
  std::optional<int64_t> max_length{};  ///< tokens of a row; default: what model and tokenizer take, at most 512
  std::optional<int64_t> max_target_length{};
  std::optional<int64_t> doc_stride{};  ///< tokens that windows of a long context share: 128
  std::optional<int64_t> block_size{};  ///< tokens of a block of language modelling; default: as max_length
  bool line_by_line = false;            ///< of language modelling: a row of the data is a row of training
  double mlm_probability = 0.15;
  bool whole_word_mask = false;
  std::string source_prefix{};  ///< "summarize: "
  /// Of sentence_similarity: "multiple_negatives_ranking" (default of anchors with positives), "triplet",
  /// "cosine_similarity" (of pairs with scores), "cosent", "contrastive" (of pairs labelled 0 or 1),
  /// "online_contrastive"; the losses' scale and margin where they have them; also the loss of the embeddings' first so
  /// many elements.
  std::string loss{};
  std::optional<double> scale{}, margin{};
  std::vector<int64_t> matryoshka_dims{};
  std::string label_scheme{};  ///< of entities: "" as seqeval reads any; "IOB2", ...; "none": tags are no entities
};

/// Data as the model reads it.
struct PreparedData {
  Dataset rows{};
  MetricsFunction metrics{};     ///< of evaluations on these rows; empty: the loss is all there is
  LossFunction loss{};           ///< of batches of these rows; empty: the model's own
  PredictionFunction predict{};  ///< of evaluations on these rows; empty: the model's own output
};

/// What a recipe may need to open a model's folder itself.
struct RecipeModel {
  std::string folder{};       ///< or hub id
  std::string tokenizer{};    ///< folder or hub id of another one; empty: the model's
  bool from_scratch = false;  ///< the config alone, new weights
  LoadOptions load{};
};

class Recipe {
 public:
  virtual ~Recipe() = default;
  /// Opens a folder that holds more than the model of model_task() and its tokenizer; nothing for tasks of plain
  /// models.
  virtual std::optional<ModelAndTokenizer> open(const RecipeModel& which) {
    (void)which;
    return std::nullopt;
  }
  virtual Task model_task() const = 0;
  /// Names of the labels in the order of their ids, as the data has them and, where its names fit, the model's config;
  /// empty for tasks without.
  virtual std::vector<std::string> labels(const Dataset& train, const Config& config) {
    (void)train;
    (void)config;
    return {};
  }
  /// What the model's config says of the problem: "regression", ...; empty: nothing.
  virtual std::string problem_type() const { return ""; }
  virtual PreparedData prepare(const Dataset& data, const Model& model, const Tokenizer& tokenizer) = 0;
  virtual std::shared_ptr<const DataCollator> collator(const Model& model, const Tokenizer& tokenizer) = 0;
  /// Makes less of logits before an evaluation keeps them.
  virtual std::function<Tensor(const Tensor&, const Tensor&)> preprocess_logits() const { return {}; }
  /// Settings that the task changes where the user left them alone: an encoder-decoder is measured on generated texts.
  virtual void adjust(TrainingArguments* arguments) const { (void)arguments; }
  /// What learns beside the model, and how the whole is saved.
  virtual void complete(TrainerParts* parts) const { (void)parts; }
};

/// "sequence_classification", "token_classification", "question_answering", "masked_lm", "causal_lm", "seq2seq_lm",
/// "multiple_choice", "sentence_similarity". Throws Error for another name.
std::unique_ptr<Recipe> make_recipe(std::string_view task, const RecipeOptions& options);
const std::vector<std::string>& recipe_names();

}  // namespace mica
