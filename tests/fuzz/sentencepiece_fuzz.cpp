// Any bytes as a SentencePiece .model; what follows the bytes "\0\0TEXT" is a text for it to encode. Whatever loads
// must encode and decode without a crash, with offsets inside the text.

#include "mica/base/error.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/tokenizers/readers/sentencepiece_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using mica::fuzz::require;
  const std::string_view all = mica::fuzz::text(data, size);
  constexpr std::string_view separator("\0\0TEXT", 6);
  const size_t cut = all.find(separator);
  const std::string_view own = cut == all.npos ? "" : all.substr(cut + separator.size());
  try {
    auto model = std::make_shared<mica::SentencePieceModel>(mica::read_sentencepiece_model(all.substr(0, cut), "fuzz"));
    require(model->size() == model->vocabulary->size(), "a type for each piece");
    const auto engine = mica::make_sentencepiece_engine(std::move(model));
    engine->prepare();
    for (const std::string_view text : {own, std::string_view(" ab  XY wörld 中文 e\xcc\x81\xff a\xc5 12")}) {
      mica::EncodeScratch scratch;
      mica::TokenList tokens;
      int32_t word = 0;
      engine->encode(text, false, false, word, scratch, tokens);
      for (const mica::CharSpan span : tokens.offsets) {
        require(span.begin >= 0 && span.begin <= span.end && span.end <= static_cast<int64_t>(text.size()),
                "offsets in the text");
      }
      engine->decode({tokens.ids.data(), tokens.ids.size()}, false);
    }
  } catch (const mica::Error&) {
  }
  return 0;
}
