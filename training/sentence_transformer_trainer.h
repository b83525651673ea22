#pragma once
// SentenceTransformerTrainer: rows of texts to better sentence embeddings.
//
//     SentenceTransformer model("all-MiniLM-L6-v2");
//     SentenceTransformerTrainer trainer(model, {.output_dir = "results", .learning_rate = 2e-5}, pairs);
//     trainer.train();
//     model.save_pretrained("my-embeddings");

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "mica/models/pipelines/sentence_transformer.h"
#include "mica/training/callback.h"
#include "mica/training/dataset/dataset.h"
#include "mica/training/tasks/recipe.h"
#include "mica/training/trainer.h"
#include "mica/training/training_arguments.h"

namespace mica {

struct SentenceTrainingOptions {
  /// Evaluated for what its rows are: correlation with scores, telling pairs apart, retrieval; its loss is there where
  /// it is the training's.
  std::optional<Dataset> eval_dataset{};
  RecipeOptions how{};  ///< columns, loss, scale, margin, matryoshka_dims, max_length
  std::function<bool()> interrupted{};
  Callbacks callbacks{};
  std::string adapter_base_model{};  ///< of a transformer with an adapter: see TrainerParts
};

/// Data sets hold texts: anchors with positives and, in "negative" or "negative_1", ..., negatives; or sentence1 and
/// sentence2 with a score, or with a label 1 (alike) or 0. The names are those of RecipeOptions and
/// sentence-transformers.
class SentenceTransformerTrainer {
 public:
  /// The caller's model is trained. Throws Error for data without such columns and a loss that does not fit them.
  SentenceTransformerTrainer(const SentenceTransformer& model, TrainingArguments arguments,
                             const Dataset& train_dataset, SentenceTrainingOptions options = {});

  TrainOutput train() { return trainer_->train(); }
  /// Metrics "eval_..." of the options' data set, under sentence-transformers' names: "eval_spearman_cosine",
  /// "eval_cosine_ap", "eval_cosine_ndcg@10".
  LogEntry evaluate() { return trainer_->evaluate(); }
  /// The model as a folder that opens; by default output_dir.
  void save_model(const std::string& folder = "") const { trainer_->save_model(folder); }
  void save_state() const { trainer_->save_state(); }
  const TrainerState& state() const { return trainer_->state(); }

 private:
  std::shared_ptr<Trainer> trainer_;
};

}  // namespace mica
