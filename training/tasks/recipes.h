#pragma once
// One recipe a file; recipe.h says what they are.

#include "mica/models/pipelines/sentence_transformer.h"
#include "mica/training/tasks/recipe.h"

namespace mica {

std::unique_ptr<Recipe> sequence_classification_recipe(const RecipeOptions& options);
std::unique_ptr<Recipe> token_classification_recipe(const RecipeOptions& options);
std::unique_ptr<Recipe> question_answering_recipe(const RecipeOptions& options);
std::unique_ptr<Recipe> masked_lm_recipe(const RecipeOptions& options);
std::unique_ptr<Recipe> causal_lm_recipe(const RecipeOptions& options);
std::unique_ptr<Recipe> seq2seq_lm_recipe(const RecipeOptions& options);
std::unique_ptr<Recipe> multiple_choice_recipe(const RecipeOptions& options);
std::unique_ptr<Recipe> sentence_similarity_recipe(const RecipeOptions& options);
/// Of a transformer that is open already.
std::unique_ptr<Recipe> sentence_similarity_recipe(const RecipeOptions& options,
                                                   const SentenceTransformer& transformer);

}  // namespace mica
