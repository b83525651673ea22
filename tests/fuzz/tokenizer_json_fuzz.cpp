// Any bytes as a tokenizer.json; what follows a NUL byte is a text for it to encode. Whatever loads must encode and
// decode without a crash, the fused path as the components do, and be the same after it was written and read back.

#include "mica/base/error.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/tokenizer.h"

namespace {

using mica::fuzz::require;

struct Outcome {
  mica::TokenList tokens;
  int32_t words = 0;
  bool failed = false;
};

// What a file gives, or the error that it is.
std::string read_as(std::string_view json, bool quickly) {
  try {
    return mica::write_tokenizer_json(*mica::read_tokenizer_json(json, "fuzz", quickly));
  } catch (const mica::Error& error) {
    return error.what();
  }
}

// With dropout a word is cut in another way each time.
bool drops(const mica::Engine& engine) {
  const auto* bpe = dynamic_cast<const mica::Bpe*>(engine.model.get());
  return bpe != nullptr && bpe->options().drops();
}

Outcome encode(const mica::Engine& engine, std::string_view text) {
  Outcome outcome;
  mica::EncodeScratch scratch;
  try {
    engine.encode(text, false, false, outcome.words, scratch, outcome.tokens);
  } catch (const mica::Error&) {
    outcome.failed = true;
  }
  return outcome;
}

void check_offsets(const mica::BatchEncoding& encoding, size_t bytes) {
  for (size_t row = 0; row < encoding.size(); ++row) {
    for (const mica::CharSpan span : encoding.offsets(row)) {
      require(span.begin >= 0 && span.begin <= span.end && span.end <= static_cast<int64_t>(bytes),
              "offsets in the text");
    }
    require(encoding.tokens(row).size() == encoding.input_ids[row].size(), "a text for each token");
  }
}

void use(const mica::Tokenizer& tokenizer, std::string_view text) {
  try {
    const auto encoding = tokenizer(text);
    check_offsets(encoding, text.size());
    tokenizer.decode(encoding.input_ids[0]);
    check_offsets(tokenizer(text, text, {.truncation = true, .max_length = 7, .return_overflowing_tokens = true}),
                  text.size());
    check_offsets(tokenizer({text, "b"}, {.padding = true, .padding_side = mica::Side::left}), text.size() + 1);
  } catch (const mica::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = mica::fuzz::text(data, size);
  const std::string_view json = all.substr(0, all.find('\0'));
  const std::string_view own = json.size() < all.size() ? all.substr(json.size() + 1) : std::string_view();
  require(read_as(json, true) == read_as(json, false), "the same by both readers");
  try {
    const mica::Tokenizer tokenizer = mica::Tokenizer::from_json(json, "fuzz");
    const auto engine = mica::read_tokenizer_json(json, "fuzz");
    engine->prepare();
    const auto components = std::make_shared<mica::Engine>(*engine);
    components->forbid_fast_path();
    for (const std::string_view text : {own, std::string_view("Hello, wörlds! [MASK] 中文 e\xcc\x81\xff a\xc5 12")}) {
      const Outcome fused = encode(*engine, text), separate = encode(*components, text);
      require(fused.failed == separate.failed, "both paths fail or none");
      if (!fused.failed && !drops(*engine)) {
        require(fused.tokens.ids == separate.tokens.ids, "ids of both paths");
        require(fused.tokens.offsets == separate.tokens.offsets, "offsets of both paths");
        require(fused.tokens.words == separate.tokens.words && fused.words == separate.words, "words of both paths");
      }
      use(tokenizer, text);
    }
    const std::string written = tokenizer.to_json();
    const std::string again = mica::Tokenizer::from_json(written, "written").to_json();
    // A score of twenty digits may have no decimal of its own that reads as the same double (models/score_text.h); what
    // is written for it has one.
    require(again == written || engine->model->type() == std::string_view("Unigram"), "the same when read back");
    require(mica::Tokenizer::from_json(again, "again").to_json() == again, "the same when read back again");
  } catch (const mica::Error&) {
  }
  return 0;
}
