#include "mica/models/auto/auto_config.h"

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/models/auto/lora.h"
#include "mica/models/auto/table.h"

namespace mica {
namespace {

constexpr int64_t kMaxConfigBytes = 16 << 20;

}  // namespace

Config AutoConfig::from_json(std::string_view text, const std::string& where) {
  Config config = Config::from_json(text, where);
  const std::string type = config.model_type;
  if (type.empty()) throw Error("key \"model_type\" is missing", where, "add it, so that the family is known");
  try {
    config.attach(family_of(type).schema());
  } catch (const Error& error) {
    throw Error(error.problem(), where, error.mend());
  }
  return config;
}

Config AutoConfig::from_pretrained(const std::string& name_or_folder) {
  const std::string folder = resolve_model_folder(name_or_folder);
  const std::string path = join_path(folder, "config.json");
  if (!file_exists(path) && is_adapter_folder(folder)) return from_pretrained(adapter_base_model(folder));
  if (!file_exists(path))
    throw Error("there is no config.json", printable(path, 400), "name a folder of a published model");
  return from_json(read_file(path, kMaxConfigBytes), path);
}

Config AutoConfig::for_model(std::string_view model_type) {
  return Config(model_type, family_of(model_type).schema());
}

}  // namespace mica
