// Masked and causal language modelling: texts one after the other, cut into blocks, or line by line.

#include "mica/training/collators/language_modeling.h"

#include <algorithm>
#include <cmath>

#include "mica/base/error.h"
#include "mica/training/tasks/columns.h"
#include "mica/training/tasks/recipes.h"

namespace mica {
namespace {

class LanguageModeling : public Recipe {
 public:
  LanguageModeling(RecipeOptions options, bool masked) : options_(std::move(options)), masked_(masked) {}

  Task model_task() const override { return masked_ ? Task::masked_lm : Task::causal_lm; }

  PreparedData prepare(const Dataset& data, const Model& model, const Tokenizer& tokenizer) override {
    const std::string text = column_of(data, options_.text_column, {"text"}, "text_column");
    const int64_t limit = row_limit(model, tokenizer, options_.block_size ? options_.block_size : options_.max_length);
    PreparedData prepared;
    prepared.rows = options_.line_by_line ? lines(data, text, tokenizer, limit) : blocks(data, text, tokenizer, limit);
    if (prepared.rows.empty()) {
      throw Error("the data makes no block of " + std::to_string(limit) + " tokens", "training data",
                  "set block_size lower, or line_by_line");
    }
    return prepared;
  }

  std::shared_ptr<const DataCollator> collator(const Model&, const Tokenizer& tokenizer) override {
    LanguageModelingOptions how;
    how.mlm = masked_;
    how.mlm_probability = options_.mlm_probability;
    how.whole_word_mask = options_.whole_word_mask;
    how.padding.ragged = true;
    return std::make_shared<DataCollatorForLanguageModeling>(tokenizer, how);
  }

 private:
  static Dataset lines(const Dataset& data, const std::string& text, const Tokenizer& tokenizer, int64_t limit) {
    const Dataset filled = data.filter([&](const Example& row) {
      const std::string_view line = row[text].as_string();
      return line.find_first_not_of(" \t\r\n") != std::string_view::npos;
    });
    return filled.map(
        [&](const Example& row) { return tokenizer(row[text].as_string(), {.truncation = true, .max_length = limit}); },
        {.remove_columns = data.column_names()});
  }

  // All texts as one run of tokens, cut into blocks; what is left at the end is dropped.
  Dataset blocks(const Dataset& data, const std::string& text, const Tokenizer& tokenizer, int64_t limit) const {
    std::vector<Example> rows;
    std::vector<int64_t> block;
    constexpr int64_t kTextsAtOnce = 1000;
    for (int64_t first = 0; first < data.size(); first += kTextsAtOnce) {
      std::vector<std::string> texts;
      for (int64_t i = first; i < std::min(first + kTextsAtOnce, data.size()); ++i) {
        texts.emplace_back(data.cell(i, text).as_string());
      }
      // Longer than any model takes, on purpose: what is cut are the blocks.
      const BatchEncoding encoding = tokenizer(
          texts, {.truncation = Truncation::none, .return_token_type_ids = false, .return_attention_mask = false});
      for (size_t i = 0; i < encoding.size(); ++i) {
        for (const int32_t id : encoding.input_ids[i]) {
          block.push_back(id);
          if (static_cast<int64_t>(block.size()) < limit) continue;
          Example row;
          row.set("input_ids", std::exchange(block, {}));
          rows.push_back(std::move(row));
        }
      }
    }
    return rows.empty() ? Dataset() : Dataset::from_list(rows);
  }

  RecipeOptions options_;
  bool masked_;
};

}  // namespace

std::unique_ptr<Recipe> masked_lm_recipe(const RecipeOptions& options) {
  return std::make_unique<LanguageModeling>(options, true);
}
std::unique_ptr<Recipe> causal_lm_recipe(const RecipeOptions& options) {
  return std::make_unique<LanguageModeling>(options, false);
}

}  // namespace mica
