#pragma once
// Tokenizer files write regular expressions in Oniguruma's dialect (Ruby's); PCRE2 runs them. Where the two read the
// same text differently, the text is rewritten.

#include <functional>
#include <string>
#include <string_view>

namespace mica {

/// The expression in PCRE2's dialect, to be compiled with UTF, UCP and MULTILINE. `is_script` tells whether a name is
/// that of a Unicode script. Throws Error (naming `where`) for what has no counterpart.
std::string pcre_from_oniguruma(std::string_view pattern, const std::function<bool(const std::string&)>& is_script,
                                const std::string& where);

/// An expression in the dialect of Rust's fancy-regex, as tiktoken files and tekken.json have it, in Oniguruma's. Only
/// what published patterns use differs: possessive {n,m}+, and $, which is the end of the text. Throws Error (naming
/// `where`) for options that the two read differently.
std::string oniguruma_from_rust(std::string_view pattern, const std::string& where);

}  // namespace mica
