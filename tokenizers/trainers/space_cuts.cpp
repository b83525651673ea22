#include "mica/tokenizers/trainers/space_cuts.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace mica {
namespace {

std::string text_of(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

bool flag_of(const Json& json, const char* key, bool fallback) {
  const auto it = json.find(key);
  return it != json.end() && it->is_boolean() ? it->get<bool>() : fallback;
}

// {"String": ...} or {"Regex": ...} under "pattern".
std::string pattern_of(const Json& json, const char* kind) {
  const auto it = json.find("pattern");
  return it != json.end() && it->is_object() ? text_of(*it, kind) : std::string();
}

// What a normalizer may do: change characters, and take or add spaces at the end of the text. It must not look across
// the cut, or make anything but a space of the space behind it.
SpaceCuts of_normalizer(const Json& json) {
  if (!json.is_object()) return SpaceCuts::letters;
  const std::string type = text_of(json, "type");
  if (type == "Sequence") {
    SpaceCuts cuts = SpaceCuts::letters;
    for (const Json& part : json.at("normalizers")) cuts = std::min(cuts, of_normalizer(part));
    return cuts;
  }
  for (const char* const known : {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}) {
    if (type == known) return SpaceCuts::letters;
  }
  // A character map of its own may turn any other character into a space.
  if (type == "Precompiled") return SpaceCuts::ascii;
  if (type == "Strip") return flag_of(json, "strip_left", true) ? SpaceCuts::none : SpaceCuts::letters;
  if (type == "Replace") {
    // A run of spaces has no cut in it, if what stands next to a cut cannot vanish.
    if (pattern_of(json, "Regex") == " {2,}") return SpaceCuts::ascii;
    const std::string pattern = pattern_of(json, "String"), content = text_of(json, "content");
    const auto visible = [](char c) { return c > ' ' && c < 0x7f; };
    if (!pattern.empty() && !content.empty() && std::all_of(pattern.begin(), pattern.end(), visible) &&
        std::all_of(content.begin(), content.end(), visible)) {
      return SpaceCuts::letters;
    }
  }
  return SpaceCuts::none;
}

// Patterns none of whose matches goes on from a visible character to a space, and which look ahead only from spaces.
bool known_pattern(std::string_view pattern) {
  constexpr std::string_view gpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  constexpr std::string_view contractions = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  constexpr std::string_view rest = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  if (pattern == gpt2) return true;
  if (!pattern.starts_with(contractions) || !pattern.ends_with(rest)) return false;
  const std::string_view digits =
      pattern.substr(contractions.size(), pattern.size() - contractions.size() - rest.size());
  return digits == R"(\p{N})" || digits == R"(\p{N}{1,3})";
}

bool cuts_before_spaces(const Json& json) {
  const std::string type = text_of(json, "type");
  if (type == "BertPreTokenizer" || type == "Whitespace" || type == "WhitespaceSplit") return true;
  if (type == "ByteLevel") return flag_of(json, "use_regex", true);
  if (type == "Metaspace") return flag_of(json, "split", true);
  if (type == "Split") {
    const auto behavior = text_of(json, "behavior");
    const bool invert = flag_of(json, "invert", false);
    return known_pattern(pattern_of(json, "Regex")) && ((behavior == "Isolated") || (behavior == "Removed" && invert));
  }
  if (type != "Sequence") return false;
  for (const Json& part : json.at("pretokenizers")) {
    if (cuts_before_spaces(part)) return true;  // what follows sees pieces that a cut leaves whole
    if (text_of(part, "type") != "Digits") return false;
  }
  return false;
}

}  // namespace

SpaceCuts space_cuts(const Json& normalizer, const Json& pre_tokenizer) {
  if (!pre_tokenizer.is_object() || !cuts_before_spaces(pre_tokenizer)) return SpaceCuts::none;
  return of_normalizer(normalizer);
}

}  // namespace mica
