#pragma once
// Cutting and filling text as Python's str does; for methods and filters alike.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tokenizers/chat/runtime.h"

namespace mica::jinja {

/// Without the characters (white space where none are named) at its ends.
std::string strip_text(std::string_view text, const std::optional<std::string>& characters, bool left, bool right);
/// At the separator, or at runs of white space; at most `limit` cuts where that is not negative.
std::vector<std::string> split_text(std::string_view text, const std::optional<std::string>& separator, int64_t limit,
                                    bool from_right);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);
/// `count` below 0: all of them.
std::string replace_text(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                         int64_t count);
/// Filled up to `width` characters; the text stands left (side -1), in the middle (0) or right (1).
std::string pad_text(Runtime& runtime, const Value& text, int64_t width, char32_t fill, int side);

}  // namespace mica::jinja
