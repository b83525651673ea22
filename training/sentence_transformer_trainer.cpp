#include "mica/training/sentence_transformer_trainer.h"

#include <utility>

#include "mica/training/tasks/recipes.h"

namespace mica {

SentenceTransformerTrainer::SentenceTransformerTrainer(const SentenceTransformer& model, TrainingArguments arguments,
                                                       const Dataset& train_dataset, SentenceTrainingOptions options) {
  const std::unique_ptr<Recipe> recipe = sentence_similarity_recipe(options.how, model);
  const PreparedData training = recipe->prepare(train_dataset, model.model(), model.tokenizer());
  TrainerParts parts;
  if (options.eval_dataset) {
    const PreparedData evaluation = recipe->prepare(*options.eval_dataset, model.model(), model.tokenizer());
    parts.eval_dataset = evaluation.rows;
    parts.compute_metrics = evaluation.metrics;
    parts.predict = evaluation.predict;
  }
  parts.data_collator = recipe->collator(model.model(), model.tokenizer());
  parts.compute_loss = training.loss;
  parts.interrupted = std::move(options.interrupted);
  parts.callbacks = std::move(options.callbacks);
  parts.adapter_base_model = std::move(options.adapter_base_model);
  recipe->complete(&parts);
  trainer_ = std::make_shared<Trainer>(model.model(), std::move(arguments), training.rows, std::move(parts));
}

}  // namespace mica
