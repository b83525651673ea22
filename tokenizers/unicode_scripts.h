#pragma once
// UnicodeScripts: cuts where the script changes, as SentencePiece does (Hiragana, Katakana and Han count as one; a
// space joins what is on its sides).

#include <cstdint>
#include <span>

#include "mica/tokenizers/pretokenizers.h"

namespace mica {

/// From this code point on, up to the next run, characters have this class of scripts; 0 joins its neighbours.
struct ScriptRun {
  uint32_t first;
  uint32_t script;
};
extern const std::span<const ScriptRun> script_runs;

class UnicodeScripts : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  Json to_json() const override { return {{"type", "UnicodeScripts"}}; }
};

}  // namespace mica
