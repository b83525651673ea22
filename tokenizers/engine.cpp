#include "mica/tokenizers/engine.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

void Engine::prepare(ImageReader* image) {
  added.build(normalizer.get());
  normalizes_ = !is_identity(normalizer.get());
  if (normalizer != fast_normalizer_ || pre_tokenizer != fast_pre_tokenizer_ || model != fast_model_) {
    fast_ = make_fast_path(normalizer.get(), pre_tokenizer.get(), model.get(), image);
    fast_normalizer_ = normalizer;
    fast_pre_tokenizer_ = pre_tokenizer;
    fast_model_ = model;
  }
  decode_table_ = std::make_shared<LazyTable>();
}

void Engine::push_added(std::string_view matched, int32_t id, CharSpan place, int32_t word, TokenList& out) const {
  out.note_text(matched, text(id));
  out.push(id, place, word);
}

void Engine::encode(std::string_view raw, bool split_special, bool one_word, int32_t& word, EncodeScratch& scratch,
                    TokenList& out) const {
  if (raw.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw Error("text is too long: " + std::to_string(raw.size()) + " bytes", "tokenizer", "split it: at most 2 GB");
  }
  const std::string_view all = utf8::valid(raw, scratch.valid_text);
  if (all.empty()) return;
  auto& pieces = scratch.raw_pieces;
  if (!added.any_raw() || !added.split(all, true, split_special, pieces)) {
    encode_segment(all, 0, split_special, one_word, word, scratch, out);
    return;
  }
  int32_t first = 0;  // number of the character at `counted`
  size_t counted = 0;
  for (const AddedVocabulary::Piece& piece : pieces) {
    const std::string_view part = all.substr(piece.range.begin, piece.range.end - piece.range.begin);
    // Pieces may overlap where one token's rstrip took what another begins with.
    if (piece.range.begin < counted) {
      first -= static_cast<int32_t>(utf8::count(all.substr(piece.range.begin, counted - piece.range.begin)));
    }
    const auto characters = static_cast<int32_t>(utf8::count(part));
    if (piece.id >= 0) {
      push_added(part, piece.id, {first, first + characters}, word, out);
      if (!one_word) ++word;
    } else {
      encode_segment(part, first, split_special, one_word, word, scratch, out);
    }
    first += characters;
    counted = piece.range.end;
  }
}

bool Engine::encode_fast(std::string_view segment, int32_t first, bool one_word, int32_t& word, EncodeScratch& scratch,
                         TokenList& out) const {
  if (!fast_ || segment.empty()) return false;
  if (!scratch.fast) scratch.fast = fast_->make_scratch();
  return fast_->encode(segment, first, one_word, word, *scratch.fast, out);
}

void Engine::encode_segment(std::string_view segment, int32_t first, bool split_special, bool one_word, int32_t& word,
                            EncodeScratch& scratch, TokenList& out) const {
  const bool find_added = added.any_normalized();
  if (!find_added) {
    if (encode_fast(segment, first, one_word, word, scratch, out)) return;
  } else if (fast_ && !normalizes_) {
    // The normalized text is the text itself.
    auto& pieces = scratch.normalized_pieces;
    if (!added.split(segment, false, split_special, pieces))
      pieces.assign(1, {{0, static_cast<uint32_t>(segment.size())}, -1});
    size_t counted = 0;
    for (const AddedVocabulary::Piece& piece : pieces) {
      const std::string_view part = segment.substr(piece.range.begin, piece.range.end - piece.range.begin);
      if (piece.range.begin < counted) {
        first -= static_cast<int32_t>(utf8::count(segment.substr(piece.range.begin, counted - piece.range.begin)));
      }
      counted = piece.range.end;
      const bool alone = pieces.size() == 1;
      const auto characters = alone && piece.id < 0 ? 0 : static_cast<int32_t>(utf8::count(part));
      if (piece.id >= 0) {
        push_added(part, piece.id, {first, first + characters}, word, out);
        if (!one_word) ++word;
      } else if (!encode_fast(part, first, one_word, word, scratch, out)) {
        encode_components(part, first, false, split_special, one_word, word, scratch, out);
      }
      first += characters;
    }
    return;
  }
  encode_components(segment, first, find_added, split_special, one_word, word, scratch, out);
}

void Engine::encode_components(std::string_view segment, int32_t first, bool find_added, bool split_special,
                               bool one_word, int32_t& word, EncodeScratch& scratch, TokenList& out) const {
  NormalizedText& now = scratch.text;
  now.assign(segment, first);
  if (normalizer) normalizer->normalize(now);

  const int32_t surface_id = model->surface_id();
  const auto encode_words = [&](NormalizedText& part, std::vector<ByteRange>& words) {
    if (pre_tokenizer) pre_tokenizer->split(part, words);
    for (const ByteRange range : words) {
      scratch.tokens.clear();
      model->tokenize(part.view(range), scratch.tokens);
      for (const ModelToken& token : scratch.tokens) {
        if (token.id == surface_id)
          out.note_text(part.view(range).substr(token.begin, token.end - token.begin), text(token.id));
        out.push(token.id, part.original({range.begin + token.begin, range.begin + token.end}), word);
      }
      if (!one_word) ++word;
    }
  };

  auto& words = scratch.words;
  if (find_added && added.split(now.text(), false, split_special, scratch.normalized_pieces)) {
    // What lies between added tokens goes through the rest on its own, as a text of its own would.
    const NormalizedText whole = now;
    for (const AddedVocabulary::Piece& piece : scratch.normalized_pieces) {
      if (piece.id >= 0) {
        push_added(whole.view(piece.range), piece.id, whole.original(piece.range), word, out);
        if (!one_word) ++word;
        continue;
      }
      NormalizedText part = whole;
      part.cut_out(piece.range);
      words.assign(1, part.all());
      encode_words(part, words);
    }
    return;
  }
  words.clear();
  if (!now.empty()) words.push_back(now.all());
  encode_words(now, words);
}

std::string_view Engine::text(int32_t id) const {
  if (added.is_added(id)) return added.text(id);
  return model->decoded_vocabulary().token(id);
}

bool Engine::knows(int64_t id) const {
  if (id < 0 || id > Vocabulary::kMaxId) return false;
  return added.is_added(static_cast<int32_t>(id)) || model->decoded_vocabulary().contains(static_cast<int32_t>(id));
}

std::optional<int32_t> Engine::find(std::string_view token) const {
  if (const auto id = added.find(token)) return id;
  return model->vocabulary().find(token);
}

int64_t Engine::id_bound() const {
  const int64_t highest = added.by_id().empty() ? -1 : added.by_id().rbegin()->first;
  return std::max(model->vocabulary().id_bound(), highest + 1);
}

int64_t Engine::size() const {
  int64_t n = model->vocabulary().size();
  for (const auto& [id, token] : added.by_id()) n += model->vocabulary().find(token.content) ? 0 : 1;
  return n;
}

std::string Engine::decode(std::span<const int32_t> ids, bool skip_special) const {
  if (decode_table_) {
    std::call_once(decode_table_->once, [&] { decode_table_->table = DecodeTable::make(*this); });
    if (decode_table_->table) return decode_table_->table->decode(ids, skip_special);
  }
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    if (!(skip_special && added.is_special_id(id)) && knows(id)) tokens.emplace_back(text(id));
  }
  return join(std::move(tokens));
}

std::string Engine::join(std::vector<std::string> tokens) const {
  if (decoder) decoder->decode(tokens);
  size_t total = 0;
  for (const std::string& token : tokens) total += token.size() + 1;
  std::string text;
  text.reserve(total);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!decoder && i > 0) text += ' ';
    text += tokens[i];
  }
  return text;
}

}  // namespace mica
