#pragma once
// What recipes measure, of an evaluation's predictions.

#include <string>
#include <vector>

#include "mica/training/evaluation.h"

namespace mica {

/// accuracy, and f1, precision and recall averaged over the labels (of the second of two).
MetricsFunction classification_metrics();
/// accuracy.
MetricsFunction choice_metrics();
/// mse, mae, pearson and spearman.
MetricsFunction regression_metrics();
/// subset accuracy and micro-averaged f1 of labels whose probability is above one half.
MetricsFunction multi_label_metrics();
/// Predictions are ids of labels [tokens]. accuracy; precision, recall and f1 of whole entities where the labels are
/// those of a scheme ("IOB1", "IOB2", "IOE1", "IOE2", "IOBES", "BILOU"; "" is seqeval's lenient reading where labels
/// begin with B- or I-, "none" else).
MetricsFunction tag_metrics(std::vector<std::string> labels, const std::string& scheme);
/// exact_match and f1, in percent.
LogEntry answer_metrics(const std::vector<std::string>& given, const std::vector<std::vector<std::string>>& wanted);
/// rouge1, rouge2, rougeL, rougeLsum, bleu and chrf, 0 to 100, and gen_len, the mean length in bytes.
LogEntry text_metrics(const std::vector<std::string>& given, const std::vector<std::string>& wanted);

}  // namespace mica
