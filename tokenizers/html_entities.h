#pragma once
// The named characters of HTML 4: &eacute; and the like.

#include <optional>
#include <string_view>

namespace mica {

/// The character of a name ("eacute"), if there is one of that name.
std::optional<char32_t> html_entity(std::string_view name);

}  // namespace mica
