#pragma once
// AutoConfig: config.json to a Config with its family's defaults.

#include <string>
#include <string_view>

#include "mica/models/config.h"

namespace mica {

struct AutoConfig {
  /// Of a folder or hub id. Throws Error when there is no config.json, it is malformed, or its model_type is unknown.
  static Config from_pretrained(const std::string& name_or_folder);
  /// The defaults of a model type.
  static Config for_model(std::string_view model_type);
  /// The text of a config.json.
  static Config from_json(std::string_view text, const std::string& where = "config.json");
};

}  // namespace mica
