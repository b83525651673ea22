// What recipes measure of texts.

#include <algorithm>

#include "mica/training/metrics/bleu.h"
#include "mica/training/metrics/chrf.h"
#include "mica/training/metrics/rouge.h"
#include "mica/training/metrics/squad.h"
#include "mica/training/tasks/measures.h"

namespace mica {

LogEntry answer_metrics(const std::vector<std::string>& given, const std::vector<std::vector<std::string>>& wanted) {
  const AnswerScores scores = answer_scores(given, wanted);
  return {{"exact_match", scores.exact_match}, {"f1", scores.f1}};
}

LogEntry text_metrics(const std::vector<std::string>& given, const std::vector<std::string>& wanted) {
  const RougeScores rouge = rouge_scores(given, wanted, true);
  std::vector<std::vector<std::string>> references;
  double length = 0;
  for (const std::string& text : wanted) references.push_back({text});
  for (const std::string& text : given) length += static_cast<double>(text.size());
  return {{"rouge1", 100 * rouge.rouge1.f1},
          {"rouge2", 100 * rouge.rouge2.f1},
          {"rougeL", 100 * rouge.rouge_l.f1},
          {"rougeLsum", 100 * rouge.rouge_lsum.f1},
          {"bleu", bleu(given, references).score},
          {"chrf", chrf(given, references)},
          {"gen_len", length / static_cast<double>(std::max<size_t>(1, given.size()))}};
}

}  // namespace mica
