#include "mica/training/tasks/sentence_objective.h"

#include <algorithm>
#include <cmath>

#include "mica/base/error.h"
#include "mica/training/losses/sentence.h"
#include "mica/training/tasks/columns.h"

namespace mica {
namespace {

struct Loss {
  const char* name;
  bool ranked, scored, labelled;  // rows that it learns from
  bool scale, margin;             // settings that it has
};

// Of each kind of rows the first one is the default.
constexpr Loss kLosses[] = {
    {"multiple_negatives_ranking", true, false, false, true, false},
    {"triplet", true, false, false, false, true},
    {"contrastive", false, false, true, false, true},
    {"online_contrastive", false, false, true, false, true},
    {"cosine_similarity", false, true, true, false, false},
    {"cosent", false, true, true, true, false},
};

bool takes(const Loss& loss, const SentenceColumns& columns) {
  if (std::string_view(loss.name) == "triplet" && columns.texts.size() != 3) return false;
  return columns.rows == SentenceRows::ranked   ? loss.ranked
         : columns.rows == SentenceRows::scored ? loss.scored
                                                : loss.labelled;
}

const Loss* find_loss(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kLosses), std::end(kLosses), [&](const Loss& each) { return name == each.name; });
  return found == std::end(kLosses) ? nullptr : found;
}

std::string describe(const SentenceColumns& columns) {
  std::string text;
  for (const std::string& each : columns.texts) text += (text.empty() ? "" : ", ") + printable(each);
  return text + (columns.label.empty() ? ", no label" : ", label " + printable(columns.label));
}

bool is_zero_or_one(const Value& cell) {
  if (cell.kind() == ValueKind::boolean) return true;
  return cell.kind() == ValueKind::integer && (cell.as_int() == 0 || cell.as_int() == 1);
}

}  // namespace

double sentence_label(const Value& cell) {
  if (cell.kind() == ValueKind::boolean) return cell.as_bool() ? 1 : 0;
  const double value = cell.as_double();
  if (!std::isfinite(value)) cell.fail("a finite number");
  return value;
}

SentenceColumns sentence_columns(const Dataset& data, const RecipeOptions& options) {
  SentenceColumns columns;
  columns.texts.push_back(
      column_of(data, options.text_column,
                {"sentence1", "sentence_A", "anchor", "query", "question", "text1", "premise", "text"}, "text_column"));
  columns.texts.push_back(
      column_of(data, options.text_pair_column,
                {"sentence2", "sentence_B", "positive", "answer", "document", "text2", "hypothesis", "text_pair"},
                "text_pair_column"));
  if (const auto label =
          optional_column(data, options.label_column, {"score", "label", "scores", "labels"}, "label_column")) {
    columns.label = *label;
    const std::vector<Value> cells = data[*label];
    const bool binary = std::all_of(cells.begin(), cells.end(), is_zero_or_one);
    columns.rows = binary ? SentenceRows::labelled : SentenceRows::scored;
    return columns;
  }
  if (const auto negative = optional_column(data, "", {"negative"}, "")) columns.texts.push_back(*negative);
  for (int i = 1; const auto negative = optional_column(data, "", {"negative_" + std::to_string(i)}, ""); ++i) {
    columns.texts.push_back(*negative);
  }
  return columns;
}

SentenceObjective::SentenceObjective(const SentenceColumns& columns, const RecipeOptions& options)
    : name_(options.loss), scale_(options.scale), margin_(options.margin), dims_(options.matryoshka_dims) {
  const Loss* loss = find_loss(name_);
  std::string fitting;
  for (const Loss& each : kLosses) {
    if (!takes(each, columns)) continue;
    if (name_.empty() && loss == nullptr) loss = &each;
    fitting += (fitting.empty() ? "" : ", ") + std::string(each.name);
  }
  if (loss == nullptr) throw Error("no loss \"" + printable(name_) + "\"", "sentence_similarity", "use " + fitting);
  if (!takes(*loss, columns)) {
    throw Error("the loss " + name_ + " for columns " + describe(columns), "sentence_similarity", "use " + fitting);
  }
  name_ = loss->name;
  const auto refuse = [&](const char* setting) {
    throw Error(std::string(setting) + " with the loss " + name_ + ", which has none", "sentence_similarity",
                "leave it out");
  };
  if (scale_ && !loss->scale) refuse("scale");
  if (margin_ && !loss->margin) refuse("margin");
  for (const auto& [number, name] : {std::pair{scale_, "scale"}, std::pair{margin_, "margin"}}) {
    if (number && !(*number > 0 && std::isfinite(*number))) {
      throw Error(std::string(name) + " " + std::to_string(*number), "sentence_similarity", "use a positive number");
    }
  }
}

bool SentenceObjective::fits(const SentenceColumns& columns) const {
  return takes(*find_loss(name_), columns);
}

Tensor SentenceObjective::operator()(const std::vector<Tensor>& embeddings, const std::vector<double>& labels) const {
  if (dims_.empty()) return one(embeddings, labels);
  return matryoshka_loss(
      embeddings, [&](const std::vector<Tensor>& shorter) { return one(shorter, labels); }, dims_);
}

Tensor SentenceObjective::one(const std::vector<Tensor>& e, const std::vector<double>& labels) const {
  if (name_ == "multiple_negatives_ranking") return multiple_negatives_ranking_loss(e, scale_.value_or(20));
  if (name_ == "triplet") return triplet_loss(e.at(0), e.at(1), e.at(2), margin_.value_or(5));
  if (name_ == "contrastive") return contrastive_loss(e.at(0), e.at(1), labels, margin_.value_or(0.5));
  if (name_ == "online_contrastive") return online_contrastive_loss(e.at(0), e.at(1), labels, margin_.value_or(0.5));
  if (name_ == "cosine_similarity") return cosine_similarity_loss(e.at(0), e.at(1), labels);
  return cosent_loss(e.at(0), e.at(1), labels, scale_.value_or(20));
}

}  // namespace mica
