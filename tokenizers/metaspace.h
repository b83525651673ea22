#pragma once
// SentencePiece's way with spaces: each becomes a visible character (U+2581), which begins the word behind it.

#include <memory>
#include <string>

#include "mica/tokenizers/decoders.h"
#include "mica/tokenizers/pretokenizers.h"

namespace mica {

struct MetaspaceSettings {
  /// Which words get a leading replacement that lack one: all, that at the start of the text, none.
  enum class Prepend { always, first, never };
  std::string replacement = "\u2581";  ///< one character
  Prepend prepend = Prepend::always;
  bool split = true;  ///< before each replacement
};

/// Reads "replacement", "prepend_scheme" and "split", and their older spellings "add_prefix_space" and "str_rep".
MetaspaceSettings read_metaspace(Fields& fields);

class MetaspacePreTokenizer : public PreTokenizer {
 public:
  explicit MetaspacePreTokenizer(MetaspaceSettings settings) : settings_(std::move(settings)) {}
  const MetaspaceSettings& settings() const { return settings_; }
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  Json to_json() const override;

 private:
  MetaspaceSettings settings_;
};

/// Replacements become spaces; those of the first token vanish unless none is ever prepended.
DecoderPtr make_metaspace_decoder(MetaspaceSettings settings);

}  // namespace mica
