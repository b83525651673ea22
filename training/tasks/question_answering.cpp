// Questions about contexts: a row of training is a window of a context, its labels the first and the last token of the
// answer there, or the first token of the row where the window lacks it.

#include "mica/models/pipelines/question_answering.h"

#include <memory>

#include "mica/base/error.h"
#include "mica/tokenizers/utf8.h"
#include "mica/training/collators/padding.h"
#include "mica/training/tasks/columns.h"
#include "mica/training/tasks/measures.h"
#include "mica/training/tasks/recipes.h"

namespace mica {
namespace {

int64_t characters_in(std::string_view text) {
  int64_t count = 0;
  for (const char* p = text.data(); p < text.data() + text.size(); utf8::next(p)) ++count;
  return count;
}

struct GoldAnswer {
  std::string text;
  int64_t begin = 0, end = 0;  // code points of the context
};

// What is needed to read answers off an evaluation's logits.
struct Questions {
  BatchEncoding encoding;
  std::vector<QuestionContext> inputs;
  std::vector<std::vector<std::string>> answers;
};

class QuestionAnswering : public Recipe {
 public:
  explicit QuestionAnswering(RecipeOptions options) : options_(std::move(options)) {}

  Task model_task() const override { return Task::question_answering; }

  PreparedData prepare(const Dataset& data, const Model& model, const Tokenizer& tokenizer) override {
    const std::string question = column_of(data, options_.question_column, {"question"}, "question_column");
    const std::string context = column_of(data, options_.context_column, {"context"}, "context_column");
    const std::string answers = column_of(data, options_.answers_column, {"answers", "answer"}, "answers_column");
    auto questions = std::make_shared<Questions>();
    std::vector<std::vector<GoldAnswer>> gold;
    for (int64_t i = 0; i < data.size(); ++i) {
      const Example row = data[i];
      questions->inputs.push_back({std::string(row[question].as_string()), std::string(row[context].as_string())});
      gold.push_back(answers_of(row[answers], questions->inputs.back().context));
      auto& texts = questions->answers.emplace_back();
      for (const GoldAnswer& each : gold.back()) texts.push_back(each.text);
    }
    QuestionAnsweringOptions how;
    how.max_seq_len = options_.max_length;
    how.doc_stride = options_.doc_stride;
    how.max_answer_len = 30;
    how.align_to_words = false;
    how.handle_impossible_answer = std::any_of(gold.begin(), gold.end(), [](const auto& each) { return each.empty(); });
    questions->encoding = encode_question_windows(tokenizer, questions->inputs, token_limit(model, tokenizer), how);
    PreparedData prepared;
    prepared.rows = windows(questions->encoding, gold, reads_question_first(tokenizer) ? 1 : 0);
    prepared.metrics = [questions, tokenizer, how](const EvalPrediction& prediction) {
      const auto values = [](const std::vector<Tensor>& rows) {
        std::vector<std::vector<float>> all;
        for (const Tensor& row : rows) all.push_back(row.to_vector<float>());
        return all;
      };
      std::vector<std::string> given;
      for (const auto& best : read_answers(tokenizer, questions->encoding, values(prediction.predictions),
                                           values(prediction.end_logits), questions->inputs, how)) {
        given.push_back(best.empty() ? "" : best[0].answer);
      }
      return answer_metrics(given, questions->answers);
    };
    return prepared;
  }

  std::shared_ptr<const DataCollator> collator(const Model&, const Tokenizer& tokenizer) override {
    return std::make_shared<DataCollatorWithPadding>(tokenizer, PaddingOptions{.ragged = true});
  }

 private:
  // SQuAD's {"text": [...], "answer_start": [...]}, or a plain text that is looked up in the context.
  static std::vector<GoldAnswer> answers_of(const Value& cell, const std::string& context) {
    std::vector<GoldAnswer> all;
    if (cell.is_string()) {
      const size_t at = context.find(cell.as_string());
      if (at == std::string::npos) cell.fail("a part of the context");
      const int64_t begin = characters_in(std::string_view(context).substr(0, at));
      all.push_back({std::string(cell.as_string()), begin, begin + characters_in(cell.as_string())});
      return all;
    }
    const std::vector<std::string> texts = cell["text"].as_strings();
    if (texts.empty()) return all;
    const auto starts = cell["answer_start"].as_ints();
    if (starts.size() != texts.size()) cell.fail("as many answer_start as text");
    const int64_t length = characters_in(context);
    for (size_t i = 0; i < texts.size(); ++i) {
      const int64_t end = starts[i] + characters_in(texts[i]);
      if (starts[i] < 0 || end > length) cell.fail("answers inside the context");
      all.push_back({texts[i], starts[i], end});
    }
    return all;
  }

  static Dataset windows(const BatchEncoding& encoding, const std::vector<std::vector<GoldAnswer>>& gold,
                         int context_sequence) {
    std::vector<Example> rows;
    for (size_t i = 0; i < encoding.size(); ++i) {
      const auto ids = encoding.input_ids[i];
      Example row;
      row.set("input_ids", std::vector<int64_t>(ids.begin(), ids.end()));
      if (!encoding.token_type_ids.empty()) {
        const auto types = encoding.token_type_ids[i];
        row.set("token_type_ids", std::vector<int64_t>(types.begin(), types.end()));
      }
      const auto& answers = gold[static_cast<size_t>(encoding.overflow_to_sample_mapping[i])];
      const auto [start, end] =
          answers.empty() ? std::pair<int64_t, int64_t>{0, 0} : tokens_of(encoding, i, answers[0], context_sequence);
      row.set("start_positions", start);
      row.set("end_positions", end);
      rows.push_back(std::move(row));
    }
    return Dataset::from_list(rows);
  }

  // First and last token of an answer; {0, 0} where the window does not hold the whole of it.
  static std::pair<int64_t, int64_t> tokens_of(const BatchEncoding& encoding, size_t row, const GoldAnswer& answer,
                                               int context_sequence) {
    const auto sequences = encoding.sequence_ids(row);
    const auto offsets = encoding.offsets(row);
    int64_t first = -1, last = -1;
    int64_t begin = -1, end = -1;  // of the window, in characters
    for (size_t t = 0; t < sequences.size(); ++t) {
      if (sequences[t] != context_sequence) continue;
      if (begin < 0) begin = offsets[t].begin;
      end = offsets[t].end;
      if (offsets[t].begin <= answer.begin) first = static_cast<int64_t>(t);
      if (last < 0 && offsets[t].end >= answer.end) last = static_cast<int64_t>(t);
    }
    if (begin < 0 || begin > answer.begin || end < answer.end || first < 0 || last < first) return {0, 0};
    return {first, last};
  }

  RecipeOptions options_;
};

}  // namespace

std::unique_ptr<Recipe> question_answering_recipe(const RecipeOptions& options) {
  return std::make_unique<QuestionAnswering>(options);
}

}  // namespace mica
