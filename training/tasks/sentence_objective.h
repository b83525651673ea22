#pragma once
// Internal: what rows of texts teach about sentence embeddings, and by which loss.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mica/tensor/tensor.h"
#include "mica/training/dataset/dataset.h"
#include "mica/training/tasks/recipe.h"

namespace mica {

enum class SentenceRows : uint8_t {
  ranked,    ///< anchor, positive and any number of negatives
  scored,    ///< two texts and how alike they are
  labelled,  ///< two texts and whether they are alike: 1 or 0
};

/// Which columns of a data set are which.
struct SentenceColumns {
  std::vector<std::string> texts;
  std::string label;  ///< empty: none
  SentenceRows rows = SentenceRows::ranked;
};

/// By the options' names, else by those that data sets of sentence-transformers have. Throws Error where there are no
/// two columns of texts.
SentenceColumns sentence_columns(const Dataset& data, const RecipeOptions& options);

/// The label of a row, as the losses take it; throws Error, naming row and column, where it is no number.
double sentence_label(const Value& cell);

/// A loss that fits the rows of a data set: by name, or the usual one for such rows.
class SentenceObjective {
 public:
  /// Throws Error for an unknown loss, one that cannot learn from such rows, and settings that the loss lacks.
  SentenceObjective(const SentenceColumns& columns, const RecipeOptions& options);

  const std::string& name() const { return name_; }
  /// Whether rows of these columns have a loss, too.
  bool fits(const SentenceColumns& columns) const;
  /// embeddings: [rows, size] a column of texts; labels one a row, none of ranked rows.
  Tensor operator()(const std::vector<Tensor>& embeddings, const std::vector<double>& labels) const;

 private:
  Tensor one(const std::vector<Tensor>& embeddings, const std::vector<double>& labels) const;

  std::string name_;
  std::optional<double> scale_, margin_;
  std::vector<int64_t> dims_;
};

}  // namespace mica
