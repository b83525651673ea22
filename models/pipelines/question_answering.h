#pragma once
// Extractive question answering: the span of a context that answers a question.

#include <optional>
#include <string_view>

#include "mica/models/pipelines/parts.h"

namespace mica {

struct QuestionAnsweringOptions {
  int64_t top_k = 1;
  int64_t max_answer_len = 15;              ///< tokens
  std::optional<int64_t> max_seq_len = {};  ///< tokens of a window, question included; default: at most 384
  std::optional<int64_t> doc_stride = {};   ///< tokens that windows share; default: half a window, at most 128
  bool handle_impossible_answer = false;    ///< "no answer" (an empty span) competes with the others
  bool align_to_words = true;               ///< answers are whole words
  int64_t batch_size = 32;
  Progress progress = {};
};

struct Answer {
  std::string answer;
  double score = 0;   ///< softmax over starts x softmax over ends, added up over equal answers
  int64_t start = 0;  ///< in code points of the context
  int64_t end = 0;
};

struct QuestionContext {
  std::string question, context;
};

class QuestionAnsweringPipeline {
 public:
  explicit QuestionAnsweringPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  QuestionAnsweringPipeline(Model model, Tokenizer tokenizer);

  /// The best answers, best first: at most top_k. Contexts longer than a window are read in overlapping windows. Throws
  /// Error for an empty question or context, and for a question that leaves no room for the context.
  std::vector<Answer> operator()(const QuestionContext& input, const QuestionAnsweringOptions& options = {}) const;
  std::vector<Answer> operator()(std::string_view question, std::string_view context,
                                 const QuestionAnsweringOptions& options = {}) const;
  /// One list an input, in the order of the inputs.
  std::vector<std::vector<Answer>> operator()(const std::vector<QuestionContext>& inputs,
                                              const QuestionAnsweringOptions& options = {}) const;

  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

 private:
  PipelineParts parts_;
};

// The pipeline's two halves, for those who run the model themselves.

/// Whether the question stands before the context: where texts are padded on the right.
bool reads_question_first(const Tokenizer& tokenizer);
/// Questions with windows of their contexts: a row a window, whose input overflow_to_sample_mapping names. `limit`: the
/// longest row that model and tokenizer take.
BatchEncoding encode_question_windows(const Tokenizer& tokenizer, const std::vector<QuestionContext>& inputs,
                                      std::optional<int64_t> limit, const QuestionAnsweringOptions& options = {});
/// The answers to each input, best first, from the start and end logits of each of those rows.
std::vector<std::vector<Answer>> read_answers(const Tokenizer& tokenizer, const BatchEncoding& encoding,
                                              const std::vector<std::vector<float>>& starts,
                                              const std::vector<std::vector<float>>& ends,
                                              const std::vector<QuestionContext>& inputs,
                                              const QuestionAnsweringOptions& options = {});

std::string to_json(const Answer& answer);
std::string to_json(const std::vector<Answer>& answers);

}  // namespace mica
