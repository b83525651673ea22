#pragma once
// AutoModel and the AutoModelFor... classes, as the guide names them.

#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"

namespace mica {

/// Opens models with the head of one task.
template <Task task>
struct AutoModelFor {
  static Model from_pretrained(const std::string& name_or_folder, const LoadOptions& options = {}) {
    return Model::from_pretrained(name_or_folder, task, options);
  }
  static Model from_config(const Config& config, const LoadOptions& options = {}) {
    return Model::from_config(config, task, options);
  }
};

using AutoModel = AutoModelFor<Task::base>;
using AutoModelForPreTraining = AutoModelFor<Task::pretraining>;
using AutoModelForCausalLM = AutoModelFor<Task::causal_lm>;
using AutoModelForSeq2SeqLM = AutoModelFor<Task::seq2seq_lm>;
using AutoModelForMaskedLM = AutoModelFor<Task::masked_lm>;
using AutoModelForSequenceClassification = AutoModelFor<Task::sequence_classification>;
using AutoModelForTokenClassification = AutoModelFor<Task::token_classification>;
using AutoModelForQuestionAnswering = AutoModelFor<Task::question_answering>;
using AutoModelForMultipleChoice = AutoModelFor<Task::multiple_choice>;
using AutoModelForNextSentencePrediction = AutoModelFor<Task::next_sentence_prediction>;
using AutoModelForTextEncoding = AutoModelFor<Task::text_encoding>;

}  // namespace mica
