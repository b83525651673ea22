// Any bytes as a tiktoken rank file; what follows a NUL byte is a text for it to encode, as are its first bytes.
// Whatever loads gives ids that decode to the text.

#include "mica/base/error.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/tokenizers/readers/byte_ranks.h"
#include "mica/tokenizers/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = mica::fuzz::text(data, size);
  const std::string_view file = all.substr(0, all.find('\0'));
  const std::string_view own = file.size() < all.size() ? all.substr(file.size() + 1) : all.substr(0, 100);
  mica::is_tiktoken(file);
  try {
    const auto engine = mica::read_tiktoken(file, "p50k_edit.tiktoken");
    engine->prepare();
    mica::TokenList tokens;
    mica::EncodeScratch scratch;
    int32_t word = 0;
    engine->encode(own, true, false, word, scratch, tokens);
    std::string storage;
    mica::fuzz::require(engine->decode(tokens.ids, false) == mica::utf8::valid(own, storage), "the same text");
  } catch (const mica::Error&) {
  }
  return 0;
}
