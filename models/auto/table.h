#pragma once
// The one table: which model types mica knows, and which heads each has.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mica/models/architectures/decoder.h"
#include "mica/models/architectures/encoder.h"
#include "mica/models/architectures/encoder_decoder.h"
#include "mica/models/config.h"
#include "mica/models/heads/head.h"

namespace mica {

/// What turns a family's config into the spec of its network; which kind of spec says which architecture.
using SpecFunction = std::variant<EncoderSpec (*)(const Config&), StackSpec (*)(const Config&),
                                  EncoderDecoderSpec (*)(const Config&), PairSpec (*)(const Config&)>;

/// One model_type.
struct Family {
  std::string_view model_type;
  std::string_view base_prefix;  ///< before the base model's names in a file with a head
  std::string_view class_stem;   ///< "Bert" of "BertForMaskedLM"
  SpecFunction spec;
  const ConfigSchema& (*schema)();
  const HeadStyle& (*heads)();
  std::vector<Task> tasks;
  /// Classes whose names don't follow from the stem.
  std::vector<std::pair<Task, std::string_view>> odd_classes;

  bool has(Task task) const;
  /// The network that a config describes, its parameters below `scope`. `ignore_pooler`: one
  /// that the file holds is left unread without a warning.
  std::unique_ptr<Network> network(const Config& config, const Scope& scope, Task task, bool with_pooler,
                                   bool ignore_pooler) const;
  /// Whose head stands on the network, what it is told, and what stands before its names: the family's own, or those of
  /// the decoder, in a pair.
  struct HeadPlace {
    const HeadStyle* style;
    Config config;
    std::string_view prefix;
  };
  HeadPlace head_place(const Config& config) const;
  /// What stands before the network's names in a file with this head.
  std::string_view prefix(Task task) const;
  /// The class that transformers would use, written to "architectures".
  std::string architecture(Task task) const;
};

const std::vector<Family>& families_table();

/// Throws Error, with the known types, for an unknown one.
const Family& family_of(std::string_view model_type);

/// The table as Markdown: a row a model_type, a column a head.
std::string families_markdown();

}  // namespace mica
