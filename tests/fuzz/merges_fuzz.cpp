// Any bytes as a vocab.json, and what follows a NUL byte as a merges.txt, and what follows another as a text. Whatever
// loads must encode within its bounds, a word joined at once as one joined pair by pair.

#include "mica/base/error.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/models/byte_bpe.h"
#include "mica/tokenizers/models/marked_bpe.h"
#include "mica/tokenizers/readers/merges_txt.h"
#include "mica/tokenizers/utf8.h"

namespace {

using mica::fuzz::require;

std::string_view take_part(std::string_view& all) {
  const size_t end = std::min(all.find('\0'), all.size());
  const std::string_view part = all.substr(0, end);
  all.remove_prefix(std::min(end + 1, all.size()));
  return part;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view all = mica::fuzz::text(data, size);
  const std::string_view vocab = take_part(all), merges = take_part(all);
  try {
    const mica::Bpe bpe(mica::parse_vocab_json(vocab, "vocab"), mica::parse_merges_txt(merges, "merges"),
                        {.unk_token = "a", .byte_fallback = true}, "merges");
    std::string storage;
    const std::string_view word = mica::utf8::valid(all.empty() ? "aabab\xc3\xa9" : all, storage);
    std::vector<mica::ModelToken> tokens;
    bpe.tokenize(word, tokens);
    for (const mica::ModelToken& token : tokens) {
      require(bpe.vocabulary().contains(token.id) && token.begin <= token.end && token.end <= word.size(), "tokens");
    }
    mica::ByteBpe::make(bpe);
  } catch (const mica::Error&) {
  }
  // The same as subword-nmt's files, once with counts.
  for (const bool counts : {false, true}) {
    try {
      const auto vocabulary =
          counts ? mica::parse_counted_vocab(vocab, {"<s>", "<unk>"}, "vocab") : mica::parse_vocab_json(vocab, "vocab");
      const mica::MarkedBpe bpe(vocabulary, mica::parse_marked_merges(merges, counts, "merges"),
                                {.unk_id = 0, .separators_are_white = counts, .blenderbot = !counts}, "merges");
      std::string storage;
      const std::string_view text = mica::utf8::valid(all.empty() ? "aabab\n \xc3\xa9'\n" : all, storage);
      std::vector<mica::ModelToken> tokens;
      bpe.tokenize(text, tokens);
      uint32_t end = 0;
      for (const mica::ModelToken& token : tokens) {
        require(token.begin <= token.end && token.end <= text.size() && token.end >= end, "marked tokens");
        end = token.end;
      }
    } catch (const mica::Error&) {
    }
  }
  // XLM's merges, over whole words; a list of pieces.
  try {
    const mica::MarkedBpe bpe(mica::parse_piece_list(vocab, {"<s>", "<unk>"}, "<mask>", "vocab"),
                              mica::parse_moses_merges(merges, "merges"), {.unk_id = 1, .marks_ends = true}, "merges");
    std::string storage;
    const std::string_view word = mica::utf8::valid(all.empty() ? "aabab" : all, storage);
    std::vector<mica::ModelToken> tokens;
    bpe.tokenize(word, tokens);
    for (const mica::ModelToken& token : tokens) {
      require(bpe.vocabulary().contains(token.id) && token.begin <= token.end && token.end <= word.size(), "word");
    }
  } catch (const mica::Error&) {
  }
  return 0;
}
