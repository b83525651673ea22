#include "mica/tokenizers/fixed_length.h"

#include "mica/tokenizers/utf8.h"

namespace mica {

void FixedLength::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  std::vector<ByteRange> result;
  const std::string& s = text.text();
  for (const ByteRange piece : pieces) {
    int64_t characters = 0;
    uint32_t begin = piece.begin;
    for (uint32_t at = piece.begin; at < piece.end;) {
      at += static_cast<uint32_t>(utf8::length(static_cast<unsigned char>(s[at])));
      if (++characters == length_ || at == piece.end) {
        result.push_back({begin, at});
        begin = at;
        characters = 0;
      }
    }
  }
  pieces = std::move(result);
}

}  // namespace mica
