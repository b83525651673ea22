#pragma once
// Base64 (RFC 4648), as vocabularies of raw bytes spell their tokens.

#include <optional>
#include <string>
#include <string_view>

namespace mica {

/// The bytes; nothing when the text is no padded base64 of the usual alphabet.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace mica
