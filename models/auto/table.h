#pragma once
// The one table: which model types mica knows, and which heads each has.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/models/architectures/encoder.h"
#include "mica/models/config.h"
#include "mica/models/heads/head.h"

namespace mica {

/// One model_type.
struct Family {
  std::string_view model_type;
  std::string_view base_prefix;  ///< before the base model's names in a file with a head
  std::string_view class_stem;   ///< "Bert" of "BertForMaskedLM"
  EncoderSpec (*spec)(const Config&);
  const ConfigSchema& (*schema)();
  const HeadStyle& (*heads)();
  std::vector<Task> tasks;
  /// Classes whose names don't follow from the stem.
  std::vector<std::pair<Task, std::string_view>> odd_classes;

  bool has(Task task) const;
  /// The class that transformers would use, written to "architectures".
  std::string architecture(Task task) const;
};

const std::vector<Family>& families_table();

/// Throws Error, with the known types, for an unknown one.
const Family& family_of(std::string_view model_type);

/// The table as Markdown: a row a model_type, a column a head.
std::string families_markdown();

}  // namespace mica
