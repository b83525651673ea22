#pragma once
// Internal: what adapters of every kind share, and virtual tokens in PEFT's folders.

#include <string>
#include <vector>

#include "mica/base/json.h"
#include "mica/models/auto/model.h"

namespace mica {

/// PEFT's name of a task, null where it has none.
const char* task_type(Task task);
/// Modules that go with an adapter: those that are named, and the heads of classification.
std::vector<std::string> saved_modules(const Model& model, const std::vector<std::string>& named);
/// Whether a parameter is of one of these modules.
bool belongs_to(const std::string& parameter, const std::vector<std::string>& modules);
/// Everything but these modules learns no more.
void freeze_model(const Model& model, const std::vector<std::string>& but);

/// Throws Error where the model has an adapter of that name.
void check_free(const AdapterRegistry& registry, const std::string& name);
/// adapter_config.json of an adapter; Error where there is none of that name.
const std::string& config_text(const AdapterRegistry& registry, const std::string& name);
/// Throws Error for virtual tokens beside another adapter.
void activate(AdapterRegistry& registry, std::vector<std::string> names);
/// A key that holds a name or a list of names, or nothing.
std::vector<std::string> names_in(const Json& json, const char* key, const std::string& path);

/// Whether adapter_config.json is of virtual tokens.
bool has_virtual_tokens(const Json& config);
void load_virtual_tokens(const Model& model, const Json& config, const std::string& folder, const std::string& name,
                         bool trainable);
void load_virtual_token_values(const Model& model, const std::string& folder, const std::string& name);
/// `config` as it is written beside them.
void save_virtual_tokens(const Model& model, const Json& config, const std::string& folder, const std::string& name);

}  // namespace mica
