// Any bytes as a tekken.json; whatever loads gives ids that decode to the text.

#include "mica/base/error.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/tokenizers/readers/byte_ranks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = mica::fuzz::text(data, size);
  mica::is_tekken(all);
  try {
    const auto engine = mica::read_tekken(all, "tekken.json");
    engine->prepare();
    mica::TokenList tokens;
    mica::EncodeScratch scratch;
    int32_t word = 0;
    const std::string_view text = "Hello, w\xc3\xb6rlds 1234\n";
    engine->encode(text, true, false, word, scratch, tokens);
    mica::fuzz::require(engine->decode(tokens.ids, false) == text, "the same text");
  } catch (const mica::Error&) {
  }
  return 0;
}
