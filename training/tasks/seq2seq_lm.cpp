// A text to another: summaries, translations.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/training/collators/seq2seq.h"
#include "mica/training/tasks/columns.h"
#include "mica/training/tasks/measures.h"
#include "mica/training/tasks/recipes.h"

namespace mica {
namespace {

constexpr int64_t kDefaultTarget = 128;

class Seq2Seq : public Recipe {
 public:
  explicit Seq2Seq(RecipeOptions options) : options_(std::move(options)) {}

  Task model_task() const override { return Task::seq2seq_lm; }

  PreparedData prepare(const Dataset& data, const Model& model, const Tokenizer& tokenizer) override {
    const std::string source =
        column_of(data, options_.text_column, {"source", "text", "document", "article", "input"}, "text_column");
    const std::string target =
        column_of(data, options_.text_pair_column.empty() ? options_.label_column : options_.text_pair_column,
                  {"target", "summary", "highlights", "output"}, "text_pair_column");
    const int64_t limit = row_limit(model, tokenizer, options_.max_length);
    const int64_t most = model.network().shape().max_target_tokens;
    const int64_t target_limit =
        options_.max_target_length.value_or(most > 0 ? std::min(most, kDefaultTarget) : kDefaultTarget);
    if (target_limit < 1 || (most > 0 && target_limit > most)) {
      throw Error("max_target_length " + std::to_string(target_limit), "training data",
                  "use 1 to " + std::to_string(most));
    }
    PreparedData prepared;
    prepared.rows = data.map(
        [&](const Example& row) {
          const std::string text = options_.source_prefix + std::string(row[source].as_string());
          Example made = MappedRow(tokenizer(text, {.truncation = true, .max_length = limit})).row();
          const std::vector<int32_t> labels = tokenizer.encode(
              row[target].as_string(), {.truncation = true, .max_length = target_limit, .text_target = true});
          made.set("labels", labels);
          return made;
        },
        {.remove_columns = data.column_names()});
    auto texts = std::make_shared<std::vector<std::string>>();
    for (int64_t i = 0; i < data.size(); ++i) texts->emplace_back(data.cell(i, target).as_string());
    prepared.metrics = [texts, tokenizer](const EvalPrediction& prediction) {
      std::vector<std::string> given;
      for (const Tensor& row : prediction.predictions) {
        given.push_back(
            tokenizer.decode(std::span<const int64_t>(row.to_vector<int64_t>()), {.skip_special_tokens = true}));
      }
      return text_metrics(given, *texts);
    };
    return prepared;
  }

  std::shared_ptr<const DataCollator> collator(const Model&, const Tokenizer& tokenizer) override {
    return std::make_shared<DataCollatorForSeq2Seq>(tokenizer);
  }

  void adjust(TrainingArguments* arguments) const override {
    arguments->predict_with_generate = !arguments->prediction_loss_only;
    if (!arguments->generation_max_length) {
      arguments->generation_max_length = options_.max_target_length.value_or(kDefaultTarget);
    }
  }

 private:
  RecipeOptions options_;
};

}  // namespace

std::unique_ptr<Recipe> seq2seq_lm_recipe(const RecipeOptions& options) {
  return std::make_unique<Seq2Seq>(options);
}

}  // namespace mica
