// Words to labels: each word's first token carries its label, the others none.

#include "mica/training/collators/token_classification.h"

#include "mica/base/error.h"
#include "mica/training/tasks/columns.h"
#include "mica/training/tasks/measures.h"
#include "mica/training/tasks/recipes.h"

namespace mica {
namespace {

constexpr int64_t kIgnored = -100;

class TokenClassification : public Recipe {
 public:
  explicit TokenClassification(RecipeOptions options) : options_(std::move(options)) {}

  Task model_task() const override { return Task::token_classification; }

  std::vector<std::string> labels(const Dataset& train, const Config& config) override {
    names_ = LabelNames(label_names(train[tags_column(train)], config));
    return names_.names();
  }

  PreparedData prepare(const Dataset& data, const Model& model, const Tokenizer& tokenizer) override {
    const std::string words = column_of(data, options_.text_column, {"tokens", "words"}, "text_column");
    const std::string tags = tags_column(data);
    const int64_t limit = row_limit(model, tokenizer, options_.max_length);
    PreparedData prepared;
    prepared.rows = data.map(
        [&](const Example& row) {
          const Value& marks = row[tags];
          const std::vector<std::string> texts = row[words].as_strings();
          if (marks.size() != static_cast<int64_t>(texts.size())) {
            marks.fail(std::to_string(texts.size()) + " labels, one for each word");
          }
          const BatchEncoding encoding =
              tokenizer(texts, {.truncation = true, .max_length = limit, .is_split_into_words = true});
          std::vector<int64_t> labels;
          int32_t before = -1;
          for (const int32_t word : encoding.word_ids()) {
            labels.push_back(word < 0 || word == before ? kIgnored : names_.id_of(marks.at(word)));
            before = word;
          }
          Example made = MappedRow(encoding).row();
          made.set("labels", std::move(labels));
          return made;
        },
        {.remove_columns = data.column_names()});
    prepared.metrics = tag_metrics(names_.names(), options_.label_scheme);
    return prepared;
  }

  std::shared_ptr<const DataCollator> collator(const Model&, const Tokenizer& tokenizer) override {
    return std::make_shared<DataCollatorForTokenClassification>(tokenizer, PaddingOptions{.ragged = true});
  }

  std::function<Tensor(const Tensor&, const Tensor&)> preprocess_logits() const override {
    return [](const Tensor& logits, const Tensor&) { return logits.argmax(-1); };
  }

 private:
  std::string tags_column(const Dataset& data) const {
    return column_of(data, options_.label_column, {"tags", "ner_tags", "labels", "label"}, "label_column");
  }

  RecipeOptions options_;
  LabelNames names_;
};

}  // namespace

std::unique_ptr<Recipe> token_classification_recipe(const RecipeOptions& options) {
  return std::make_unique<TokenClassification>(options);
}

}  // namespace mica
