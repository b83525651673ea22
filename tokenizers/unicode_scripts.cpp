#include "mica/tokenizers/unicode_scripts.h"

#include <algorithm>
#include <optional>

#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

uint32_t script_of(char32_t c) {
  const auto after = std::upper_bound(script_runs.begin(), script_runs.end(), c,
                                      [](char32_t value, const ScriptRun& run) { return value < run.first; });
  return (after - 1)->script;  // the first run begins at 0
}

}  // namespace

void UnicodeScripts::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  std::vector<ByteRange> result;
  const char* const base = text.text().data();
  for (const ByteRange piece : pieces) {
    // What comes before the first character with a script is dropped, as the reference has it.
    std::optional<uint32_t> begin;
    uint32_t last = 0;
    for (const char *p = base + piece.begin, *end = base + piece.end; p < end;) {
      const auto at = static_cast<uint32_t>(p - base);
      const uint32_t script = script_of(utf8::next(p));
      if (script == 0) continue;
      if (script != last) {
        if (begin) result.push_back({*begin, at});
        begin = at;
        last = script;
      }
    }
    if (begin) result.push_back({*begin, piece.end});
  }
  pieces = std::move(result);
}

}  // namespace mica
