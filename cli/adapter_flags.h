#pragma once
// Flags that say which adapter is trained in place of the model: --lora, --prompt_tuning, --prefix_tuning.

#include <string>
#include <utility>
#include <vector>

#include "mica/models/auto/model.h"

namespace mica::cli {

/// Fields and their values, as FIELD=VALUE,... were split.
using FlagFields = std::vector<std::pair<std::string, std::string>>;

struct AdapterFlags {
  std::vector<std::string> lora, prompt_tuning, prefix_tuning;
};

/// Adds the adapter that the flags name, if they name one. `fields_of(flag, words)` splits a flag's words; `tokenizer`:
/// folder or hub id, for a prompt that starts as a text. Throws UsageError for fields that there are not, and for more
/// than one kind.
void add_adapter_of(const Model& model, const AdapterFlags& flags, const std::string& tokenizer,
                    FlagFields (*fields_of)(const char* flag, const std::vector<std::string>& words));

}  // namespace mica::cli
