#include "mica/training/tasks/measures.h"

#include <algorithm>
#include <cmath>

#include "mica/base/error.h"
#include "mica/training/metrics/classification.h"
#include "mica/training/metrics/correlation.h"
#include "mica/training/metrics/entities.h"

namespace mica {
namespace {

struct Ids {
  std::vector<int64_t> predicted, wanted;
};

Ids chosen(const EvalPrediction& prediction) {
  Ids ids;
  for (size_t i = 0; i < prediction.predictions.size(); ++i) {
    ids.predicted.push_back(prediction.predictions[i].argmax(-1).item<int64_t>());
    ids.wanted.push_back(prediction.label_ids.at(i).item<int64_t>());
  }
  return ids;
}

bool names_entities(const std::vector<std::string>& labels) {
  return std::any_of(labels.begin(), labels.end(), [](const std::string& label) { return label.starts_with("B-"); }) ||
         std::any_of(labels.begin(), labels.end(), [](const std::string& label) { return label.starts_with("I-"); });
}

}  // namespace

MetricsFunction classification_metrics() {
  return [](const EvalPrediction& prediction) {
    const Ids ids = chosen(prediction);
    const int64_t classes = prediction.predictions.empty() ? 0 : prediction.predictions[0].numel();
    const int64_t most = *std::max_element(ids.wanted.begin(), ids.wanted.end());
    const bool binary = classes == 2 && most <= 1;
    const PrecisionRecallF1 score =
        precision_recall_f1(ids.predicted, ids.wanted, binary ? Average::binary : Average::macro);
    return LogEntry{{"accuracy", accuracy(ids.predicted, ids.wanted)},
                    {"f1", score.f1},
                    {"precision", score.precision},
                    {"recall", score.recall}};
  };
}

MetricsFunction choice_metrics() {
  return [](const EvalPrediction& prediction) {
    const Ids ids = chosen(prediction);
    return LogEntry{{"accuracy", accuracy(ids.predicted, ids.wanted)}};
  };
}

MetricsFunction regression_metrics() {
  return [](const EvalPrediction& prediction) {
    std::vector<double> predicted, wanted;
    double square = 0, absolute = 0;
    for (size_t i = 0; i < prediction.predictions.size(); ++i) {
      predicted.push_back(prediction.predictions[i].item<double>());
      wanted.push_back(prediction.label_ids.at(i).item<double>());
      const double off = predicted.back() - wanted.back();
      square += off * off;
      absolute += std::abs(off);
    }
    const auto count = static_cast<double>(std::max<size_t>(1, predicted.size()));
    LogEntry entry{{"mse", square / count}, {"mae", absolute / count}};
    if (predicted.size() >= 2) {
      entry.emplace_back("pearson", pearson_correlation(predicted, wanted));
      entry.emplace_back("spearman", spearman_correlation(predicted, wanted));
    }
    return entry;
  };
}

MetricsFunction multi_label_metrics() {
  return [](const EvalPrediction& prediction) {
    int64_t found = 0, predicted = 0, actual = 0, whole = 0;
    for (size_t i = 0; i < prediction.predictions.size(); ++i) {
      const std::vector<double> logits = prediction.predictions[i].to_vector<double>();
      const std::vector<double> labels = prediction.label_ids.at(i).to_vector<double>();
      bool same = true;
      for (size_t c = 0; c < logits.size(); ++c) {
        const bool yes = logits[c] > 0, wanted = labels[c] > 0.5;
        found += yes && wanted ? 1 : 0;
        predicted += yes ? 1 : 0;
        actual += wanted ? 1 : 0;
        same = same && yes == wanted;
      }
      whole += same ? 1 : 0;
    }
    const PrecisionRecallF1 score = score_of_counts(found, predicted, actual);
    const auto rows = static_cast<double>(std::max<size_t>(1, prediction.predictions.size()));
    return LogEntry{{"accuracy", static_cast<double>(whole) / rows},
                    {"f1", score.f1},
                    {"precision", score.precision},
                    {"recall", score.recall}};
  };
}

MetricsFunction tag_metrics(std::vector<std::string> labels, const std::string& scheme) {
  const bool by_entity = scheme.empty() ? names_entities(labels) : scheme != "none";
  const EntityScheme how = by_entity && !scheme.empty() ? entity_scheme(scheme) : EntityScheme::lenient;
  return [labels = std::move(labels), by_entity, how](const EvalPrediction& prediction) {
    std::vector<Tags> predicted, wanted;
    Ids flat;
    for (size_t i = 0; i < prediction.predictions.size(); ++i) {
      const std::vector<int64_t> ids = prediction.predictions[i].to_vector<int64_t>();
      const std::vector<int64_t> marks = prediction.label_ids.at(i).to_vector<int64_t>();
      Tags given, right;
      for (size_t t = 0; t < marks.size() && t < ids.size(); ++t) {
        if (marks[t] == -100) continue;
        flat.predicted.push_back(ids[t]);
        flat.wanted.push_back(marks[t]);
        given.push_back(labels.at(static_cast<size_t>(ids[t])));
        right.push_back(labels.at(static_cast<size_t>(marks[t])));
      }
      if (right.empty()) continue;
      predicted.push_back(std::move(given));
      wanted.push_back(std::move(right));
    }
    if (by_entity) {
      const EntityReport report = entity_scores(predicted, wanted, how);
      return LogEntry{{"accuracy", report.accuracy},
                      {"f1", report.micro.f1},
                      {"precision", report.micro.precision},
                      {"recall", report.micro.recall}};
    }
    const PrecisionRecallF1 macro = precision_recall_f1(flat.predicted, flat.wanted, Average::macro);
    return LogEntry{{"accuracy", accuracy(flat.predicted, flat.wanted)},
                    {"f1", macro.f1},
                    {"precision", macro.precision},
                    {"recall", macro.recall}};
  };
}

}  // namespace mica
