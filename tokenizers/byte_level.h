#pragma once
// Byte level: a text as its UTF-8 bytes, each spelled by a printable character, so that 256 tokens spell any text
// (A. Radford et al. 2019, "Language models are unsupervised multitask learners"). The normalizer, the pre-tokenizer
// and the decoder of that name.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "mica/tokenizers/decoders.h"
#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/pretokenizers.h"

namespace mica {

namespace byte_level {
/// The character that spells a byte: printable Latin-1 as itself, the others in order from U+0100 on.
char32_t spelling(unsigned char byte);
/// The byte that a character spells, -1 when it spells none.
int byte_of(char32_t c);
/// Appends the spelling of raw bytes.
void spell(std::string_view bytes, std::string& out);
/// Appends the bytes that a token (valid UTF-8) spells and returns true; false, having appended nothing, when one of
/// its characters spells none.
bool unspell(std::string_view token, std::string& out);
/// Where words end in GPT-2's pattern.
inline constexpr const char* kPattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
}  // namespace byte_level

class ByteLevelNormalizer : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
  Json to_json() const override { return {{"type", "ByteLevel"}}; }
};

/// A space put before every piece that does not begin with one, a cut at GPT-2's pattern (each optional), then bytes.
class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  struct Settings {
    bool add_prefix_space = true;
    bool trim_offsets = true;  ///< of no effect here; kept for writing
    bool use_regex = true;
  };
  explicit ByteLevelPreTokenizer(Settings settings);
  const Settings& settings() const { return settings_; }
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  Json to_json() const override;

 private:
  Settings settings_;
  std::shared_ptr<const PreTokenizer> cut_;  // null without the pattern
};

/// Reads a "ByteLevel" pre-tokenizer's settings.
ByteLevelPreTokenizer::Settings read_byte_level(Fields& fields);
/// A "ByteLevel" decoder; what is no UTF-8 in the end becomes U+FFFD.
DecoderPtr make_byte_level_decoder(Fields& fields);
DecoderPtr make_byte_level_decoder();

}  // namespace mica
