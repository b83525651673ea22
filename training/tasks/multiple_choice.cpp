// Which of several texts goes on from a text.

#include "mica/training/collators/multiple_choice.h"

#include "mica/base/error.h"
#include "mica/training/tasks/columns.h"
#include "mica/training/tasks/measures.h"
#include "mica/training/tasks/recipes.h"

namespace mica {
namespace {

class MultipleChoice : public Recipe {
 public:
  explicit MultipleChoice(RecipeOptions options) : options_(std::move(options)) {}

  Task model_task() const override { return Task::multiple_choice; }

  PreparedData prepare(const Dataset& data, const Model& model, const Tokenizer& tokenizer) override {
    const std::string text =
        column_of(data, options_.text_column, {"sent1", "context", "question", "prompt", "text"}, "text_column");
    const auto start = optional_column(data, options_.text_pair_column, {"sent2"}, "text_pair_column");
    const auto list = optional_column(data, options_.choices_column, {"choices", "endings"}, "choices_column");
    std::vector<std::string> endings;  // a column each
    for (int i = 0; !list && i < 64; ++i) {
      const auto column =
          optional_column(data, "", {"ending" + std::to_string(i), "choice" + std::to_string(i)}, "choices_column");
      if (!column) break;
      endings.push_back(*column);
    }
    if (!list && endings.size() < 2) column_of(data, "", {"choices", "endings", "ending0"}, "choices_column");
    const std::string label = column_of(data, options_.label_column, {"label", "labels", "answer"}, "label_column");
    const int64_t limit = row_limit(model, tokenizer, options_.max_length);
    PreparedData prepared;
    prepared.rows = data.map(
        [&](const Example& row) {
          std::vector<std::string> choices;
          if (list) {
            choices = row[*list].as_strings();
          } else {
            for (const std::string& each : endings) choices.emplace_back(row[each].as_string());
          }
          const int64_t right = row[label].as_int();
          if (right < 0 || right >= static_cast<int64_t>(choices.size())) {
            row[label].fail("one of " + std::to_string(choices.size()) + " choices, from 0 on");
          }
          if (start) {
            for (std::string& choice : choices) choice = std::string(row[*start].as_string()) + " " + choice;
          }
          const std::vector<std::string> firsts(choices.size(), std::string(row[text].as_string()));
          Example made = MappedRow(tokenizer(firsts, choices, {.truncation = true, .max_length = limit})).row();
          made.set("labels", right);
          return made;
        },
        {.remove_columns = data.column_names()});
    prepared.metrics = choice_metrics();
    return prepared;
  }

  std::shared_ptr<const DataCollator> collator(const Model&, const Tokenizer& tokenizer) override {
    return std::make_shared<DataCollatorForMultipleChoice>(tokenizer);
  }

 private:
  RecipeOptions options_;
};

}  // namespace

std::unique_ptr<Recipe> multiple_choice_recipe(const RecipeOptions& options) {
  return std::make_unique<MultipleChoice>(options);
}

}  // namespace mica
