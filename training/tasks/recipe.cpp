#include "mica/training/tasks/recipe.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/training/tasks/recipes.h"

namespace mica {
namespace {

using Maker = std::unique_ptr<Recipe> (*)(const RecipeOptions&);

const std::vector<std::pair<std::string, Maker>>& makers() {
  static const std::vector<std::pair<std::string, Maker>> all{
      {"sequence_classification", sequence_classification_recipe},
      {"token_classification", token_classification_recipe},
      {"question_answering", question_answering_recipe},
      {"masked_lm", masked_lm_recipe},
      {"causal_lm", causal_lm_recipe},
      {"seq2seq_lm", seq2seq_lm_recipe},
      {"multiple_choice", multiple_choice_recipe},
      {"sentence_similarity", sentence_similarity_recipe},
  };
  return all;
}

}  // namespace

const std::vector<std::string>& recipe_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& [name, maker] : makers()) list.push_back(name);
    return list;
  }();
  return names;
}

std::unique_ptr<Recipe> make_recipe(std::string_view task, const RecipeOptions& options) {
  std::string known;
  for (const auto& [name, maker] : makers()) {
    if (name == task) return maker(options);
    known += (known.empty() ? "" : ", ") + name;
  }
  throw Error("no task \"" + printable(task) + "\"", "training", "use one of " + known);
}

}  // namespace mica
