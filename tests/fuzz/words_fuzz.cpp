// Any bytes as a text for the rules that cut and clean words by hand (Moses, tweets, BERT's words in Python, CPM), and
// as tokens for Moses' detokenizer. Pieces must lie in the text that they leave, in order, and each must be UTF-8; a
// text that is rewritten stands for places of the original.

#include "mica/tests/fuzz/fuzz.h"
#include "mica/tokenizers/basic_words.h"
#include "mica/tokenizers/cpm.h"
#include "mica/tokenizers/moses_detokenizer.h"
#include "mica/tokenizers/moses_words.h"
#include "mica/tokenizers/tweet_normalizer.h"
#include "mica/tokenizers/utf8.h"

namespace {

using mica::fuzz::require;

void check(const mica::NormalizedText& text, const std::vector<mica::ByteRange>& pieces, int32_t characters) {
  uint32_t end = 0;
  for (const mica::ByteRange piece : pieces) {
    require(piece.begin >= end && piece.end >= piece.begin && piece.end <= text.text().size(), "pieces");
    require(mica::utf8::is_valid(text.view(piece)), "UTF-8");
    const mica::CharSpan place = text.original(piece);
    require(place.begin >= 0 && place.begin <= place.end && place.end <= characters, "places");
    end = piece.end;
  }
}

void split(const mica::PreTokenizer& pre_tokenizer, std::string_view text) {
  mica::NormalizedText now;
  now.assign(text, 0);
  std::vector<mica::ByteRange> pieces = {now.all()};
  pre_tokenizer.split(now, pieces);
  check(now, pieces, static_cast<int32_t>(mica::utf8::count(text)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string storage;
  const std::string_view text = mica::utf8::valid(mica::fuzz::text(data, size), storage);
  if (text.empty()) return 0;
  for (const char* code : {"de", "en", "fr", "ru"}) {
    const mica::moses::Language& language = mica::moses::language(code, "fuzz");
    split(mica::MosesPreTokenizer(language, {.folds = true}), text);
    split(mica::MosesPreTokenizer(
              language, {.lowers = true, .normalizes = false, .words = {.splits_dashes = true, .escapes = true}}),
          text);
    std::vector<std::string> tokens = {std::string(text.substr(0, text.find(' '))), std::string(text)};
    mica::make_moses_decoder(language)->decode(tokens);
    require(tokens.size() == 1 && mica::utf8::is_valid(tokens[0]), "detokenized");
  }
  split(mica::TweetNormalizer(), text);
  split(mica::BasicWords({}), text);
  split(mica::BasicWords({.lowercase = false, .strip_accents = true}), text);
  mica::NormalizedText now;
  now.assign(text, 0);
  mica::CpmNormalizer({.lowers = true}).normalize(now);
  check(now, {now.all()}, static_cast<int32_t>(mica::utf8::count(text)));
  return 0;
}
