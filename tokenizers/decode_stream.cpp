#include "mica/tokenizers/decode_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// Decoders that need more than one token see the last ones again: between these many ids.
constexpr size_t kFewestIds = 8, kMostIds = 32;
// ... which must come to this much text, so that what a decoder does to the beginning of a text stays there.
constexpr size_t kFewestBytes = 16;
constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// <0xE4>: a byte of a character. A decoder may take back all characters of a run when one of its bytes is wrong.
bool is_byte_token(std::string_view token) {
  return token.size() == 6 && token.substr(0, 3) == "<0x" && token[5] == '>';
}

// How much of `text` no byte that follows can change: all but the beginning of a character at its end.
size_t whole_characters(std::string_view text) {
  const size_t low = text.size() < 3 ? 0 : text.size() - 3;
  for (size_t at = text.size(); at > low;) {
    const auto byte = static_cast<unsigned char>(text[--at]);
    if ((byte & 0xc0) == 0x80) continue;
    if (byte < 0xc0 || text.size() - at >= static_cast<size_t>(utf8::length(byte))) break;
    // Only a part that may still become a character waits: as it is, it is one ill-formed part, followed by 'x' too.
    std::string part(text.substr(at)), storage;
    part += 'x';
    return utf8::valid(part, storage) == std::string(kReplacement) + "x" ? at : text.size();
  }
  return text.size();
}

// How much of `text` can be cleaned up on its own. Every rule takes a space and at most three characters behind it, and
// one of them a space behind an apostrophe.
size_t clean_part(std::string_view text) {
  size_t space = text.rfind(' ');
  if (space == text.npos || text.size() - space > 4) return text.size();
  while (space > 0 && (text[space - 1] == ' ' || text[space - 1] == '\'')) {
    space = text.rfind(' ', space - 1);
    if (space == text.npos) return 0;
  }
  return space;
}

}  // namespace

struct DecodeStream::State {
  std::shared_ptr<const Engine> engine;
  DecodeOptions options;
  bool one_by_one = false;  // the decoder treats each token on its own
  bool first = true;
  std::string bytes;         // one_by_one: decoded, but not yet whole
  std::vector<int32_t> ids;  // otherwise: the last ids, and
  size_t given = 0;          // how much of their text was given
  std::string unclean;       // decoded, but not yet cleaned up

  std::string own_token(int32_t id) {
    engine->decoder->append(engine->text(id), first, bytes);
    first = false;
    std::string storage;
    const size_t whole = engine->decoder->makes_bytes() ? whole_characters(bytes) : bytes.size();
    std::string text(utf8::valid(std::string_view(bytes).substr(0, whole), storage));
    bytes.erase(0, whole);
    return text;
  }

  std::string among_others(int32_t id, bool last) {
    if (!last) {
      ids.push_back(id);
      if (is_byte_token(engine->text(id))) return {};
    }
    const std::string all = engine->decode(ids, false);
    size_t end = all.size();
    // The end may be a character of which bytes are missing.
    if (!last && std::string_view(all).ends_with(kReplacement)) end -= kReplacement.size();
    std::string text;
    if (end > given) {
      text = all.substr(given, end - given);
      given = end;
    }
    if (ids.size() > kMostIds) shorten(all);
    return text;
  }

  // Forgets all but the last ids, as long as these give the end of the same text.
  void shorten(const std::string& all) {
    if (given > all.size()) return;
    const size_t held = all.size() - given;
    for (size_t keep = kFewestIds; keep < ids.size(); keep *= 2) {
      const auto from = ids.end() - static_cast<std::ptrdiff_t>(keep);
      if (is_byte_token(engine->text(*from))) continue;
      const std::string part = engine->decode(std::vector<int32_t>(from, ids.end()), false);
      if (part.size() < std::max(kFewestBytes, held)) continue;
      const size_t same = part.size() - kFewestBytes / 2;
      if (all.size() < same || all.compare(all.size() - same, same, part, part.size() - same, same) != 0) continue;
      ids.erase(ids.begin(), from);
      given = part.size() - held;
      return;
    }
  }

  std::string cleaned(std::string text, bool last) {
    if (!options.clean_up_tokenization_spaces.value_or(false)) return text;
    unclean += text;
    const size_t end = last ? unclean.size() : clean_part(unclean);
    text = clean_up_spaces(unclean.substr(0, end));
    unclean.erase(0, end);
    return text;
  }
};

DecodeStream::DecodeStream(std::shared_ptr<const Engine> engine, const DecodeOptions& options)
    : state_(std::make_unique<State>()) {
  state_->engine = std::move(engine);
  state_->options = options;
  std::string probe;
  const auto& decoder = state_->engine->decoder;
  state_->one_by_one = decoder && decoder->append("a", true, probe);
}

DecodeStream::DecodeStream(DecodeStream&&) noexcept = default;
DecodeStream& DecodeStream::operator=(DecodeStream&&) noexcept = default;
DecodeStream::~DecodeStream() = default;

std::string DecodeStream::step(int64_t id) {
  State& state = *state_;
  if (!state.engine->knows(id)) return {};
  const auto known = static_cast<int32_t>(id);
  if (state.options.skip_special_tokens && state.engine->added.is_special_id(known)) return {};
  return state.cleaned(state.one_by_one ? state.own_token(known) : state.among_others(known, false), false);
}

std::string DecodeStream::finish() {
  State& state = *state_;
  std::string text, storage;
  if (state.one_by_one) {
    text = utf8::valid(state.bytes, storage);
  } else if (!state.ids.empty()) {
    text = state.among_others(0, true);
  }
  text = state.cleaned(std::move(text), true);
  state.bytes.clear();
  state.ids.clear();
  state.given = 0;
  state.first = true;
  return text;
}

}  // namespace mica
