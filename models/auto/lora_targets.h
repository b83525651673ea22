#pragma once
// Which modules an adapter is for.

#include <string>
#include <vector>

#include "mica/base/error.h"
#include "mica/models/adapter_slot.h"

namespace mica {

/// Whether the module's name is one of these, or ends in one behind a dot; "all-linear" is every layer below the head,
/// and a regular expression, alone, must match all of the name.
bool is_target(const std::string& module, const std::vector<std::string>& targets);
/// Whether a key of rank_pattern or alpha_pattern, a regular expression, matches the module's name or its last parts.
bool fits_pattern(const std::string& module, const std::string& pattern);
/// The layers that project queries and values, by what published families call them.
std::vector<std::string> usual_targets(const AdapterRegistry& registry);
Error no_target(const AdapterRegistry& registry, const std::vector<std::string>& targets);

}  // namespace mica
