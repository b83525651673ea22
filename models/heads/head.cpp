#include "mica/models/heads/head.h"

#include <utility>

#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/heads/parts.h"

namespace mica {
namespace {

struct TaskName {
  Task task;
  std::string_view name;
  std::string_view auto_class;
};

constexpr TaskName kTasks[] = {
    {Task::base, "base", "AutoModel"},
    {Task::pretraining, "pretraining", "AutoModelForPreTraining"},
    {Task::causal_lm, "causal_lm", "AutoModelForCausalLM"},
    {Task::masked_lm, "masked_lm", "AutoModelForMaskedLM"},
    {Task::sequence_classification, "sequence_classification", "AutoModelForSequenceClassification"},
    {Task::token_classification, "token_classification", "AutoModelForTokenClassification"},
    {Task::question_answering, "question_answering", "AutoModelForQuestionAnswering"},
    {Task::multiple_choice, "multiple_choice", "AutoModelForMultipleChoice"},
    {Task::next_sentence_prediction, "next_sentence_prediction", "AutoModelForNextSentencePrediction"},
    {Task::text_encoding, "text_encoding", "AutoModelForTextEncoding"},
    {Task::seq2seq_lm, "seq2seq_lm", "AutoModelForSeq2SeqLM"},
};

}  // namespace

std::string_view name(Task task) {
  return kTasks[static_cast<size_t>(task)].name;
}
std::string_view auto_class(Task task) {
  return kTasks[static_cast<size_t>(task)].auto_class;
}

Task task_from_name(std::string_view wanted) {
  std::string known;
  for (const TaskName& entry : kTasks) {
    if (entry.name == wanted) return entry.task;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw Error("unknown task \"" + printable(wanted) + "\"", "task", "use one of " + known);
}

const std::vector<Task>& all_tasks() {
  static const std::vector<Task> tasks = [] {
    std::vector<Task> list;
    for (const TaskName& entry : kTasks) list.push_back(entry.task);
    return list;
  }();
  return tasks;
}

bool needs_pooler(Task task, const HeadStyle& style) {
  switch (task) {
    case Task::base:
    case Task::text_encoding:
      return style.base_pools;
    case Task::next_sentence_prediction:
      return true;
    case Task::pretraining:
      return !style.order_classifier.empty();
    case Task::sequence_classification:
      return style.sequence.pooling == SentencePooling::pooler;
    case Task::multiple_choice:
      return style.choice.pooling == SentencePooling::pooler;
    default:
      return false;
  }
}

std::unique_ptr<Head> make_head(Task task, const HeadStyle& style, const Config& config, const Scope& root,
                                const Network& network) {
  const Scope scope = root.may_be_new();
  const auto behind = [&](std::unique_ptr<Head> head) {
    return transformed(std::move(head), style.transform, config, scope, network);
  };
  switch (task) {
    case Task::base:
    case Task::text_encoding:
      return nullptr;
    case Task::pretraining:
      if (!style.replaced_dense.empty()) return make_replaced_token_head(style, config, scope, network);
      if (!style.order_classifier.empty()) return make_pretraining_head(style, config, scope, network);
      return make_language_head(style, config, scope, network, style.causal_pretraining);
    case Task::masked_lm:
    case Task::seq2seq_lm:
      return behind(make_language_head(style, config, scope, network, false));
    case Task::causal_lm:
      return behind(make_language_head(style, config, scope, network, true));
    case Task::sequence_classification:
      return make_sequence_classification_head(style, config, scope, network);
    case Task::token_classification:
      return behind(make_token_classification_head(style, config, scope, network));
    case Task::question_answering:
      return behind(make_question_answering_head(style, config, scope, network));
    case Task::multiple_choice:
      return make_multiple_choice_head(style, config, scope, network);
    case Task::next_sentence_prediction:
      return make_next_sentence_head(style, config, scope, network);
  }
  throw Error("task without a head", "heads", "this is a fault of the table");
}

std::vector<int64_t> Head::targets(const ModelInputs&) const {
  return {};
}

Tensor Head::logits(const Tensor&) const {
  throw Error("this head does not predict tokens", "heads", "open the model for causal_lm or seq2seq_lm");
}

Tensor flat_labels(const Tensor& labels, int64_t expected, const char* name) {
  if (labels.numel() != expected || is_floating(labels.dtype())) {
    throw Error("\"" + std::string(name) + "\" has shape " + to_string(labels.shape()) + " and dtype " +
                    std::string(mica::name(labels.dtype())),
                "model inputs", "need " + std::to_string(expected) + " integers");
  }
  return labels.contiguous().reshape({expected}).to(DType::int64);
}

double classifier_dropout(const Config& config) {
  for (const char* key :
       {"classifier_dropout", "classifier_dropout_prob", "cls_dropout", "seq_classif_dropout", "hidden_dropout"}) {
    if (config.has(key)) return config.number_in(key, 0, 0.999);
  }
  return config.number("hidden_dropout_prob", 0.0);
}

}  // namespace mica
