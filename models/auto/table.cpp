#include "mica/models/auto/table.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/models/families/families.h"

namespace mica {
namespace {

using namespace families;

constexpr Task M = Task::base;
constexpr Task PT = Task::pretraining;
constexpr Task CLM = Task::causal_lm;
constexpr Task MLM = Task::masked_lm;
constexpr Task SC = Task::sequence_classification;
constexpr Task TC = Task::token_classification;
constexpr Task QA = Task::question_answering;
constexpr Task MC = Task::multiple_choice;
constexpr Task NSP = Task::next_sentence_prediction;
constexpr Task TE = Task::text_encoding;

}  // namespace

const std::vector<Family>& families_table() {
  // clang-format off
  static const std::vector<Family> table{
      // model_type, prefix, class stem, network, config, heads' names, heads
      {"albert", "albert", "Albert", albert, albert_schema, albert_heads,
       {M, PT, MLM, SC, TC, QA, MC, TE}, {}},
      {"bert", "bert", "Bert", bert, bert_schema, bert_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, NSP, TE}, {{CLM, "BertLMHeadModel"}}},
      {"bert-generation", "bert", "BertGeneration", bert_generation, bert_generation_schema, bert_generation_heads,
       {M, CLM}, {{M, "BertGenerationEncoder"}, {CLM, "BertGenerationDecoder"}}},
      {"camembert", "roberta", "Camembert", roberta, roberta_schema, roberta_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC}, {}},
      {"data2vec-text", "data2vec_text", "Data2VecText", roberta, roberta_schema, roberta_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"distilbert", "distilbert", "DistilBert", distilbert, distilbert_schema, distilbert_heads,
       {M, PT, MLM, SC, TC, QA, MC, TE}, {}},
      {"electra", "electra", "Electra", electra, electra_schema, electra_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"ernie", "ernie", "Ernie", ernie, ernie_schema, bert_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, NSP}, {}},
      {"megatron-bert", "bert", "MegatronBert", megatron_bert, megatron_bert_schema, bert_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, NSP}, {}},
      {"mpnet", "mpnet", "MPNet", mpnet, mpnet_schema, mpnet_heads,
       {M, PT, MLM, SC, TC, QA, MC}, {}},
      {"roberta", "roberta", "Roberta", roberta, roberta_schema, roberta_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"roberta-prelayernorm", "roberta_prelayernorm", "RobertaPreLayerNorm", roberta_prelayernorm, roberta_schema,
       roberta_heads, {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"xlm-roberta", "roberta", "XLMRoberta", roberta, roberta_schema, roberta_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
  };
  // clang-format on
  return table;
}

bool Family::has(Task task) const {
  return std::find(tasks.begin(), tasks.end(), task) != tasks.end();
}

std::string Family::architecture(Task task) const {
  for (const auto& [odd, name] : odd_classes) {
    if (odd == task) return std::string(name);
  }
  if (task == Task::base || task == Task::text_encoding) return std::string(class_stem) + "Model";
  if (task == Task::pretraining && heads().order_classifier.empty() && heads().replaced_dense.empty()) {
    task = Task::masked_lm;
  }
  return std::string(class_stem) + std::string(auto_class(task).substr(std::string_view("AutoModel").size()));
}

const Family& family_of(std::string_view model_type) {
  std::string known;
  for (const Family& family : families_table()) {
    if (family.model_type == model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw Error("unknown model_type \"" + printable(model_type) + "\"", "config", "mica knows " + known);
}

std::string families_markdown() {
  std::string text = "| model_type |";
  std::string rule = "| --- |";
  for (const Task task : all_tasks()) {
    text += " " + std::string(name(task)) + " |";
    rule += " :-: |";
  }
  text += "\n" + rule + "\n";
  for (const Family& family : families_table()) {
    text += "| " + std::string(family.model_type) + " |";
    for (const Task task : all_tasks()) text += family.has(task) ? " ✓ |" : "  |";
    text += "\n";
  }
  return text;
}

}  // namespace mica
