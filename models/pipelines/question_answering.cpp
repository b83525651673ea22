#include "mica/models/pipelines/question_answering.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mica/base/error.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr int64_t kDefaultWindow = 384;
constexpr int64_t kDefaultStride = 128;

struct Span {
  int64_t start = 0, end = 0;  // tokens, both included
  double score = 0;
};

// Probabilities of the tokens that may start (or end) an answer; the others get none. The first token, which stands for
// "no answer", competes but is cleared afterwards: its probability is returned.
double probabilities(std::span<const float> logits, const std::vector<bool>& allowed, std::vector<double>* result) {
  double largest = -10000;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (allowed[i]) largest = std::max(largest, static_cast<double>(logits[i]));
  }
  double sum = 0;
  result->resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    (*result)[i] = std::exp((allowed[i] ? static_cast<double>(logits[i]) : -10000.0) - largest);
    sum += (*result)[i];
  }
  for (double& value : *result) value /= sum;
  return std::exchange((*result)[0], 0.0);
}

// The `count` best spans of at most `longest` tokens, best first.
std::vector<Span> best_spans(const std::vector<double>& starts, const std::vector<double>& ends,
                             const std::vector<bool>& allowed, int64_t longest, size_t count) {
  std::vector<Span> spans;
  const auto better = [](const Span& a, const Span& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.start != b.start ? a.start < b.start : a.end < b.end;
  };
  const auto tokens = static_cast<int64_t>(starts.size());
  for (int64_t s = 0; s < tokens; ++s) {
    if (!allowed[static_cast<size_t>(s)]) continue;
    for (int64_t e = s; e < std::min(tokens, s + longest); ++e) {
      const double score = starts[static_cast<size_t>(s)] * ends[static_cast<size_t>(e)];
      if (!allowed[static_cast<size_t>(e)] || !(score > 0)) continue;
      // A heap of the best so far, the worst of them on top.
      if (spans.size() == count && !better({s, e, score}, spans.front())) continue;
      if (spans.size() == count) {
        std::pop_heap(spans.begin(), spans.end(), better);
        spans.pop_back();
      }
      spans.push_back({s, e, score});
      std::push_heap(spans.begin(), spans.end(), better);
    }
  }
  std::sort(spans.begin(), spans.end(), better);
  return spans;
}

std::string lowered(std::string_view text) {
  std::string result;
  for (const char* p = text.data(); p < text.data() + text.size();) {
    char32_t mapped[2];
    const int count = unicode::to_lower(utf8::next(p), mapped);
    for (int i = 0; i < count; ++i) utf8::append(mapped[i], result);
  }
  return result;
}

// The characters [begin, end) of valid UTF-8, counted in code points.
std::string characters(std::string_view text, int64_t begin, int64_t end) {
  const char* p = text.data();
  const char* last = p + text.size();
  int64_t at = 0;
  for (; at < begin && p < last; ++at) utf8::next(p);
  const char* first = p;
  for (; at < end && p < last; ++at) utf8::next(p);
  return {first, p};
}

// The answers to one question while its windows come in.
struct Candidates {
  std::vector<Answer> answers;
  std::vector<std::string> keys;  // lower case: equal ones are one answer
  double impossible = 1e6;        // the least probability of "no answer" in any window
};

class Reader {
 public:
  Reader(const Tokenizer& tokenizer, const QuestionAnsweringOptions& options, bool question_first)
      : tokenizer_(tokenizer), options_(options), context_(question_first ? 1 : 0) {}

  void read(const BatchEncoding& encoding, size_t row, std::span<const float> start_logits,
            std::span<const float> end_logits, std::string_view context, Candidates* candidates) const {
    const auto sequence = encoding.sequence_ids(row);
    const auto ids = encoding.input_ids[row];
    const std::optional<int32_t> cls = tokenizer_.cls_token_id();
    std::vector<bool> allowed;
    for (size_t i = 0; i < ids.size(); ++i) allowed.push_back(sequence[i] == context_ || (cls && ids[i] == *cls));
    std::vector<double> starts;
    std::vector<double> ends;
    const double no_start = probabilities(start_logits, allowed, &starts);
    const double no_end = probabilities(end_logits, allowed, &ends);
    candidates->impossible = std::min(candidates->impossible, no_start * no_end);
    // Aligning to words makes some spans equal: look at more than are wanted.
    const int64_t count = options_.align_to_words ? 2 * options_.top_k + 10 : options_.top_k;
    for (const Span& span : best_spans(starts, ends, allowed, options_.max_answer_len, static_cast<size_t>(count))) {
      add(encoding, row, span, context, candidates);
    }
  }

 private:
  void add(const BatchEncoding& encoding, size_t row, const Span& span, std::string_view context,
           Candidates* candidates) const {
    int64_t begin = encoding.offsets(row)[static_cast<size_t>(span.start)].begin;
    int64_t end = encoding.offsets(row)[static_cast<size_t>(span.end)].end;
    if (options_.align_to_words) {
      const auto first = encoding.token_to_word(row, span.start);
      const auto last = encoding.token_to_word(row, span.end);
      const auto from = first ? encoding.word_to_chars(row, *first, context_) : std::nullopt;
      const auto to = last ? encoding.word_to_chars(row, *last, context_) : std::nullopt;
      if (from && to) {
        begin = from->begin;
        end = to->end;
      }
    }
    std::string text = characters(context, begin, end);
    std::string key = lowered(text);
    for (size_t i = 0; i < candidates->keys.size(); ++i) {
      if (candidates->keys[i] == key) {
        candidates->answers[i].score += span.score;
        return;
      }
    }
    candidates->keys.push_back(std::move(key));
    candidates->answers.push_back({std::move(text), span.score, begin, end});
  }

  const Tokenizer& tokenizer_;
  const QuestionAnsweringOptions& options_;
  int context_;  // which sequence of the pair the context is
};

void check(const QuestionAnsweringOptions& options, int64_t window, int64_t stride) {
  const auto refuse = [](const char* what, int64_t value, const std::string& mend) {
    throw Error(std::string(what) + " is " + std::to_string(value), "question answering", mend);
  };
  if (options.top_k < 1 || options.top_k > 1'000'000) refuse("top_k", options.top_k, "use 1 to 1000000");
  if (options.max_answer_len < 1) refuse("max_answer_len", options.max_answer_len, "use 1 or more");
  if (window < 1) refuse("max_seq_len", window, "use 1 or more");
  if (stride < 0 || stride > window) refuse("doc_stride", stride, "use 0 to max_seq_len, " + std::to_string(window));
}

void write(JsonWriter& json, const Answer& answer) {
  json.begin_object().key("score").value(answer.score).key("start").value(answer.start);
  json.key("end").value(answer.end).key("answer").value(answer.answer).end_object();
}

}  // namespace

bool reads_question_first(const Tokenizer& tokenizer) {
  return tokenizer.padding_side() == Side::right;
}

BatchEncoding encode_question_windows(const Tokenizer& tokenizer, const std::vector<QuestionContext>& inputs,
                                      std::optional<int64_t> limit, const QuestionAnsweringOptions& options) {
  const int64_t window = options.max_seq_len.value_or(std::min(limit.value_or(kDefaultWindow), kDefaultWindow));
  const int64_t stride = options.doc_stride.value_or(std::min(window / 2, kDefaultStride));
  check(options, window, stride);
  const bool question_first = reads_question_first(tokenizer);
  std::vector<std::string_view> questions;
  std::vector<std::string_view> contexts;
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (const auto& [text, what] : {std::pair(&inputs[i].question, "question"), {&inputs[i].context, "context"}}) {
      if (text->empty()) throw Error(std::string("empty ") + what, "input " + std::to_string(i), "give one");
    }
    questions.push_back(inputs[i].question);
    contexts.push_back(inputs[i].context);
  }
  check_texts(questions, "question");
  check_texts(contexts, "context");
  return tokenizer.encode_batch(question_first ? questions : contexts, question_first ? contexts : questions,
                                {.truncation = question_first ? Truncation::only_second : Truncation::only_first,
                                 .max_length = window,
                                 .stride = stride,
                                 .return_overflowing_tokens = true,
                                 .return_attention_mask = false});
}

std::vector<std::vector<Answer>> read_answers(const Tokenizer& tokenizer, const BatchEncoding& encoding,
                                              const std::vector<std::vector<float>>& starts,
                                              const std::vector<std::vector<float>>& ends,
                                              const std::vector<QuestionContext>& inputs,
                                              const QuestionAnsweringOptions& options) {
  const Reader reader(tokenizer, options, reads_question_first(tokenizer));
  // Windows are read in order: which of two equal answers is kept depends on it.
  std::vector<Candidates> candidates(inputs.size());
  for (size_t row = 0; row < encoding.size(); ++row) {
    const auto input = static_cast<size_t>(encoding.overflow_to_sample_mapping[row]);
    reader.read(encoding, row, starts[row], ends[row], inputs[input].context, &candidates[input]);
  }
  std::vector<std::vector<Answer>> results;
  for (Candidates& each : candidates) {
    if (options.handle_impossible_answer) each.answers.push_back({"", each.impossible, 0, 0});
    std::stable_sort(each.answers.begin(), each.answers.end(),
                     [](const Answer& a, const Answer& b) { return a.score > b.score; });
    if (each.answers.size() > static_cast<size_t>(options.top_k)) {
      each.answers.resize(static_cast<size_t>(options.top_k));
    }
    results.push_back(std::move(each.answers));
  }
  return results;
}

QuestionAnsweringPipeline::QuestionAnsweringPipeline(const std::string& name_or_folder, const PipelineOptions& options)
    : parts_(PipelineParts::open(name_or_folder, Task::question_answering, options)) {}

QuestionAnsweringPipeline::QuestionAnsweringPipeline(Model model, Tokenizer tokenizer)
    : parts_{std::move(model), std::move(tokenizer)} {}

std::vector<Answer> QuestionAnsweringPipeline::operator()(const QuestionContext& input,
                                                          const QuestionAnsweringOptions& options) const {
  return (*this)(std::vector<QuestionContext>{input}, options)[0];
}

std::vector<Answer> QuestionAnsweringPipeline::operator()(std::string_view question, std::string_view context,
                                                          const QuestionAnsweringOptions& options) const {
  return (*this)(QuestionContext{std::string(question), std::string(context)}, options);
}

std::vector<std::vector<Answer>> QuestionAnsweringPipeline::operator()(const std::vector<QuestionContext>& inputs,
                                                                       const QuestionAnsweringOptions& options) const {
  const auto& [model, tokenizer] = parts_;
  const BatchEncoding encoding = encode_question_windows(tokenizer, inputs, token_limit(model, tokenizer), options);
  std::vector<std::vector<float>> starts(encoding.size());
  std::vector<std::vector<float>> ends(encoding.size());
  run_batches(model, encoding, options.batch_size, options.progress,
              [&](std::span<const size_t> rows, const ModelOutput& output) {
                const std::vector<float> start = output.start_logits.to_vector<float>();
                const std::vector<float> end = output.end_logits.to_vector<float>();
                size_t begin = 0;
                for (const size_t row : rows) {
                  const size_t next = begin + encoding.input_ids[row].size();
                  const auto part = [&](const std::vector<float>& all) {
                    return std::vector<float>(all.begin() + static_cast<std::ptrdiff_t>(begin),
                                              all.begin() + static_cast<std::ptrdiff_t>(next));
                  };
                  starts[row] = part(start);
                  ends[row] = part(end);
                  begin = next;
                }
              });
  return read_answers(tokenizer, encoding, starts, ends, inputs, options);
}

std::string to_json(const Answer& answer) {
  JsonWriter json;
  write(json, answer);
  return json.text();
}

std::string to_json(const std::vector<Answer>& answers) {
  JsonWriter json;
  json.begin_array();
  for (const Answer& each : answers) write(json, each);
  return json.end_array().text();
}

}  // namespace mica
