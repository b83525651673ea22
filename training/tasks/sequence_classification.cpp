// Texts, or pairs of texts, to one label, several, or a number.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/training/collators/padding.h"
#include "mica/training/tasks/columns.h"
#include "mica/training/tasks/measures.h"
#include "mica/training/tasks/recipes.h"

namespace mica {
namespace {

enum class Kind : uint8_t { one, several, number };

class SequenceClassification : public Recipe {
 public:
  explicit SequenceClassification(RecipeOptions options) : options_(std::move(options)) {}

  Task model_task() const override { return Task::sequence_classification; }

  std::vector<std::string> labels(const Dataset& train, const Config& config) override {
    const std::vector<Value> cells = train[label_column(train)];
    kind_ = kind_of(cells);
    if (kind_ != Kind::number) {
      names_ = LabelNames(label_names(cells, config));
      return names_.names();
    }
    return {"LABEL_0"};
  }

  std::string problem_type() const override {
    return kind_ == Kind::one       ? "single_label_classification"
           : kind_ == Kind::several ? "multi_label_classification"
                                    : "regression";
  }

  PreparedData prepare(const Dataset& data, const Model& model, const Tokenizer& tokenizer) override {
    const std::string text = column_of(data, options_.text_column, {"text", "sentence", "sentence1"}, "text_column");
    const auto pair =
        optional_column(data, options_.text_pair_column, {"text_pair", "pair", "sentence2"}, "text_pair_column");
    const std::string label = label_column(data);
    const int64_t limit = row_limit(model, tokenizer, options_.max_length);
    PreparedData prepared;
    prepared.rows = data.map(
        [&](const Example& row) {
          const TokenizerOptions how{.truncation = true, .max_length = limit};
          Example made = MappedRow(pair ? tokenizer(row[text].as_string(), row[*pair].as_string(), how)
                                        : tokenizer(row[text].as_string(), how))
                             .row();
          made.set("labels", label_of(row[label]));
          return made;
        },
        {.remove_columns = data.column_names()});
    prepared.metrics = kind_ == Kind::number ? regression_metrics()
                       : kind_ == Kind::one  ? classification_metrics()
                                             : multi_label_metrics();
    return prepared;
  }

  std::shared_ptr<const DataCollator> collator(const Model&, const Tokenizer& tokenizer) override {
    return std::make_shared<DataCollatorWithPadding>(tokenizer, PaddingOptions{.ragged = true});
  }

 private:
  std::string label_column(const Dataset& data) const {
    return column_of(data, options_.label_column, {"label", "labels", "score"}, "label_column");
  }

  static Kind kind_of(const std::vector<Value>& cells) {
    const auto any = [&](ValueKind kind) {
      return std::any_of(cells.begin(), cells.end(), [&](const Value& cell) { return cell.kind() == kind; });
    };
    if (any(ValueKind::number)) return Kind::number;
    return any(ValueKind::list) || any(ValueKind::integers) ? Kind::several : Kind::one;
  }

  Value label_of(const Value& cell) const {
    if (kind_ == Kind::number) return cell.as_double();
    if (kind_ == Kind::one) return names_.id_of(cell);
    std::vector<double> marks(names_.names().size());
    for (int64_t i = 0; i < cell.size(); ++i) marks[static_cast<size_t>(names_.id_of(cell.at(i)))] = 1;
    return marks;
  }

  RecipeOptions options_;
  Kind kind_ = Kind::one;
  LabelNames names_;
};

}  // namespace

std::unique_ptr<Recipe> sequence_classification_recipe(const RecipeOptions& options) {
  return std::make_unique<SequenceClassification>(options);
}

}  // namespace mica
