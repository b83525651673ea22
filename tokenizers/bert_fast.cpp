#include "mica/tokenizers/bert_fast.h"

#include <bit>
#include <cstring>
#include <memory>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr size_t kKeyBytes = 12;
// Longest word for which the buffers below stay small; beyond it the separate components do the work.
constexpr int64_t kMaxLimit = 4096;

size_t hash_key(uint64_t low, uint32_t high) {
  uint64_t h = (low ^ uint64_t{high} * 0xff51afd7ed558ccdu) * 0x9e3779b97f4a7c15u;
  return static_cast<size_t>(h >> 20 ^ h >> 41);
}

// The first 12 bytes at `word` with what lies behind `size` blanked; at least 12 bytes must be readable.
void load_key(const char* word, size_t size, uint64_t* low, uint32_t* high) {
  std::memcpy(low, word, 8);
  std::memcpy(high, word + 8, 4);
  if (size < 8) {
    *low &= (uint64_t{1} << (8 * size)) - 1;
    *high = 0;
  } else if (size < kKeyBytes) {
    *high &= (uint32_t{1} << (8 * (size - 8))) - 1;
  }
}

// Eight bytes at a time in a register (the first byte is the lowest).
constexpr uint64_t repeat(unsigned char byte) {
  return 0x0101010101010101u * byte;
}

// 0x80 in each byte that is an ASCII letter or digit; `letters` only for letters.
uint64_t word_bytes(uint64_t block, uint64_t* letters) {
  const uint64_t low = block & repeat(0x7f);
  const uint64_t folded = low | repeat(0x20);
  // Sums of values up to 0x7f stay within their byte: its top bit says "at least".
  const uint64_t letter = (folded + repeat(0x80 - 'a')) & ~(folded + repeat(0x7f - 'z'));
  const uint64_t digit = (low + repeat(0x80 - '0')) & ~(low + repeat(0x7f - '9'));
  const uint64_t ascii = ~block & repeat(0x80);
  *letters = letter & ascii;
  return (letter | digit) & ascii;
}

}  // namespace

std::shared_ptr<const BertFast> BertFast::make(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer,
                                               const TokenModel* model, ImageReader* image) {
  const auto* bert = dynamic_cast<const BertNormalizer*>(normalizer);
  const auto* pieces = dynamic_cast<const WordPiece*>(model);
  if (bert == nullptr || pieces == nullptr || dynamic_cast<const BertPreTokenizer*>(pre_tokenizer) == nullptr) {
    return nullptr;
  }
  if (pieces->options().max_input_chars_per_word > kMaxLimit) return nullptr;
  return std::shared_ptr<const BertFast>(new BertFast(bert->settings(), *pieces, image));
}

BertFast::BertFast(BertNormalizer::Settings settings, const WordPiece& model, ImageReader* image)
    : normalizer_(settings), model_(&model), limit_(static_cast<size_t>(model.options().max_input_chars_per_word)) {
  for (int c = 0; c < 256; ++c) {
    const auto at = static_cast<size_t>(c);
    ascii_kind_[at] = kUnsupported;
    if (c >= 128) continue;
    const Action made = make_action(static_cast<char32_t>(c));
    // Zero pads the keys, so a NUL that makes words cannot be told from their end.
    ascii_kind_[at] = c == 0 && made.kind == kKeep ? kUnsupported : made.kind;
    ascii_lower_[at] = made.bytes[0];
  }
  ascii_lowers_ = ascii_lower_['A'] == 'a';
  ascii_words_ = std::endian::native == std::endian::little;
  for (int c = 0; c < 128; ++c) {
    const bool digit = c >= '0' && c <= '9', small = c >= 'a' && c <= 'z', capital = c >= 'A' && c <= 'Z';
    const auto at = static_cast<size_t>(c);
    const int lowered = capital && ascii_lowers_ ? c + 32 : c;
    ascii_words_ = ascii_words_ && (digit || small || capital) == (ascii_kind_[at] == kKeep) &&
                   (ascii_kind_[at] != kKeep || ascii_lower_[at] == lowered);
  }
  words_ = image != nullptr ? image->take<WordKey>() : Table<WordKey>(make_words(model.vocabulary(), limit_));
  words_mask_ = words_.size() - 1;
  for (int c = 0; c < 128; ++c) {
    const auto at = static_cast<size_t>(c);
    ascii_alone_[at] = token_alone({static_cast<Kind>(ascii_kind_[at]), 1, {ascii_lower_[at]}});
  }
}

// The words of up to 12 bytes, in an open-addressing table of a power of two.
std::vector<BertFast::WordKey> BertFast::make_words(const Vocabulary& vocabulary, size_t limit) {
  std::vector<WordKey> words(std::bit_ceil(static_cast<size_t>(vocabulary.size()) * 2 + 2), WordKey{0, 0, -1});
  const size_t mask = words.size() - 1;
  for (int64_t i = 0; i < vocabulary.id_bound(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view token = vocabulary.token(id);
    // Longer words, and words too long for the model, take the way through the trie.
    if (token.empty() || token.size() > kKeyBytes || token.size() > limit || token.find('\0') != token.npos) continue;
    char padded[kKeyBytes] = {};
    std::memcpy(padded, token.data(), token.size());
    WordKey key{0, 0, id};
    load_key(padded, token.size(), &key.low, &key.high);
    size_t slot = hash_key(key.low, key.high) & mask;
    while (words[slot].id >= 0) slot = (slot + 1) & mask;
    words[slot] = key;
  }
  return words;
}

// The tokens of a character that is a word of its own are the same everywhere.
int32_t BertFast::token_alone(const Action& action) const {
  if ((action.kind != kPunctuation && action.kind != kChinese) || limit_ == 0) return -1;
  char padded[16] = {};
  std::memcpy(padded, action.bytes, action.length);
  const CharSpan origins[16] = {};
  TokenList out;
  try {
    emit(padded, action.length, origins, 0, out);
  } catch (const Error&) {
    return -1;  // no unknown token: the text that has this character shall say so
  }
  return out.size() == 1 ? out.ids[0] : -1;
}

BertFast::~BertFast() {
  for (const auto& page : pages_) std::unique_ptr<Page>(page.load());
}

int32_t BertFast::find_word(uint64_t low, uint32_t high) const {
  for (size_t slot = hash_key(low, high) & words_mask_;; slot = (slot + 1) & words_mask_) {
    const WordKey& key = words_[slot];
    if (key.low == low && key.high == high) return key.id;
    if (key.id < 0) return -1;
  }
}

BertFast::Action BertFast::make_action(char32_t c) const {
  Action action{kUnsupported, 0, {}};
  // A mark that stays and has a combining class may change places with its neighbours.
  if (normalizer_.settings().strips_accents()) {
    std::vector<unicode::Change> parts;
    unicode::decompose(std::span(&c, 1), false, parts);
    for (const auto& part : parts) {
      if (unicode::has(part.c, unicode::kReordered) && !unicode::has(part.c, unicode::kNonspacingMark)) return action;
    }
  }
  std::string raw;
  utf8::append(c, raw);
  NormalizedText text;
  text.assign(raw, 0);
  normalizer_.normalize(text);
  std::vector<char32_t> all = text.characters();
  const bool chinese = normalizer_.settings().handle_chinese_chars && unicode::has(c, unicode::kChinese);
  if (chinese) {
    if (all.size() != 3 || all.front() != U' ' || all.back() != U' ') return action;
    all = {all[1]};
  }
  bool plain = true;
  for (const char32_t part : all) {
    utf8::append(part, raw);
    plain = plain && !unicode::has(part, unicode::kWhitespace | unicode::kPunctuation);
  }
  raw.erase(0, static_cast<size_t>(utf8::length(static_cast<unsigned char>(raw[0]))));
  if (raw.size() > sizeof(action.bytes)) return action;
  if (all.empty()) {
    action.kind = kDrop;
  } else if (plain) {
    action.kind = chinese ? kChinese : all.size() == 1 ? kKeep : kSeveral;
  } else if (all.size() == 1 && !chinese) {
    action.kind = unicode::has(all[0], unicode::kWhitespace) ? kSpace : kPunctuation;
  } else {
    return action;
  }
  action.length = static_cast<uint8_t>(raw.size());
  std::memcpy(action.bytes, raw.data(), raw.size());
  return action;
}

const BertFast::Action& BertFast::action(char32_t c) const {
  std::atomic<Page*>& slot = pages_[c >> 8];
  Page* page = slot.load(std::memory_order_acquire);
  if (page == nullptr) {
    auto made = std::make_unique<Page>();
    for (char32_t i = 0; i < 256; ++i) {
      const char32_t member = (c & ~char32_t{0xff}) + i;
      const bool surrogate = member >= 0xd800 && member <= 0xdfff;
      (*made)[i] = surrogate ? Action{kUnsupported, 0, {}} : make_action(member);
      (*made)[i].alone = token_alone((*made)[i]);
    }
    // Another thread may have been faster; its page is the same.
    if (slot.compare_exchange_strong(page, made.get(), std::memory_order_acq_rel)) page = made.release();
  }
  return (*page)[c & 0xff];
}

// The common case, without a loop over characters: reads the run of letters and digits at `p`, of which at least one is
// there; at least 17 bytes are readable. If that run is a whole word of up to 16 bytes, appends its tokens and returns
// where it ends; else returns null, and nothing has happened.
const char* BertFast::ascii_word(const char* p, int32_t first, int32_t number, char* buffer, TokenList& out) const {
  uint64_t low = 0, high = 0, low_letters = 0, high_letters = 0;
  std::memcpy(&low, p, 8);
  uint64_t ends = ~word_bytes(low, &low_letters) & repeat(0x80);
  size_t size = 0;
  if (ends != 0) {
    size = static_cast<size_t>(std::countr_zero(ends)) / 8;
    low &= (uint64_t{1} << (8 * size)) - 1;
  } else {
    std::memcpy(&high, p + 8, 8);
    ends = ~word_bytes(high, &high_letters) & repeat(0x80);
    size = 8 + (ends != 0 ? static_cast<size_t>(std::countr_zero(ends)) / 8 : 8);
    if (size < 16) high &= (uint64_t{1} << (8 * (size - 8))) - 1;
  }
  // Only what certainly ends a word does: other characters may belong to it, or vanish.
  const uint8_t next = ascii_kind_[static_cast<unsigned char>(p[size])];
  if (size > limit_ || (next != kSpace && next != kPunctuation)) return nullptr;
  if (ascii_lowers_) {
    low |= low_letters >> 2 & (size < 8 ? (uint64_t{1} << (8 * size)) - 1 : ~uint64_t{0});
    if (size > 8) high |= high_letters >> 2 & (size < 16 ? (uint64_t{1} << (8 * (size - 8))) - 1 : ~uint64_t{0});
  }
  if (size <= kKeyBytes) {
    if (const int32_t id = find_word(low, static_cast<uint32_t>(high)); id >= 0) {
      out.push(id, {first, first + static_cast<int32_t>(size)}, number);
      return p + size;
    }
  }
  std::memcpy(buffer, &low, 8);
  std::memcpy(buffer + 8, &high, 8);
  cut(buffer, size, first, number, out);
  return p + size;
}

// A word of ASCII characters, one byte each: character i of the text is byte i - first.
void BertFast::emit(const char* word, size_t size, int32_t first, int32_t number, TokenList& out) const {
  if (size <= kKeyBytes) {
    uint64_t low = 0;
    uint32_t high = 0;
    load_key(word, size, &low, &high);
    if (const int32_t id = find_word(low, high); id >= 0) {
      out.push(id, {first, first + static_cast<int32_t>(size)}, number);
      return;
    }
  }
  cut(word, size, first, number, out);
}

// A word that the vocabulary lacks, into pieces.
void BertFast::cut(const char* word, size_t size, int32_t first, int32_t number, TokenList& out) const {
  const size_t before = out.size();
  size_t at = 0;
  while (size <= limit_ && at < size) {
    const PieceTrie::Match match = model_->trie().longest({word + at, size - at}, at > 0);
    if (match.length == 0) break;
    const auto begin = first + static_cast<int32_t>(at);
    out.push(match.id, {begin, begin + static_cast<int32_t>(match.length)}, number);
    at += match.length;
  }
  if (at == size) return;
  out.truncate(before);
  out.push(model_->unk_id(), {first, first + static_cast<int32_t>(size)}, number);
}

void BertFast::emit(const char* word, size_t size, const CharSpan* origin, int32_t number, TokenList& out) const {
  if (size <= kKeyBytes) {
    uint64_t low = 0;
    uint32_t high = 0;
    load_key(word, size, &low, &high);
    if (const int32_t id = find_word(low, high); id >= 0) {
      out.push(id, {origin[0].begin, origin[size - 1].end}, number);
      return;
    }
  }
  const size_t before = out.size();
  size_t at = 0;
  while (at < size && (size <= limit_ || utf8::count({word, size}) <= limit_)) {
    const PieceTrie::Match match = model_->trie().longest({word + at, size - at}, at > 0);
    if (match.length == 0) break;
    out.push(match.id, {origin[at].begin, origin[at + match.length - 1].end}, number);
    at += match.length;
  }
  if (at == size) return;
  out.truncate(before);
  out.push(model_->unk_id(), {origin[0].begin, origin[size - 1].end}, number);
}

bool BertFast::encode(std::string_view segment, int32_t first, bool one_word, int32_t& word, Scratch& any,
                      TokenList& out) const {
  const size_t out_before = out.size();
  const int32_t word_before = word;
  const int32_t step = one_word ? 0 : 1;
  // Room for the longest word that is cut, one character more, and a key's reading ahead.
  const size_t room = 4 * (limit_ + 1) + 64;
  auto& scratch = static_cast<OpenWord&>(any);
  if (scratch.word.size() < room) {
    scratch.word.resize(room);
    scratch.origin.resize(room);
  }
  char* const buffer = scratch.word.data();
  CharSpan* const origin = scratch.origin.data();

  size_t size = 0;        // bytes of the open word
  size_t characters = 0;  // characters of it, also those beyond the limit that are not kept
  bool direct = true;     // byte i of the open word is character start + i
  int32_t start = 0;      // the character the open word starts with
  CharSpan last{};        // what the last character of the open word stands for
  const auto close = [&] {
    if (characters == 0) return;
    if (characters > limit_) {
      out.push(model_->unk_id(), {direct ? start : origin[0].begin, last.end}, word);
    } else if (direct) {
      emit(buffer, size, start, word, out);
    } else {
      emit(buffer, size, origin, word, out);
    }
    word += step;
    size = characters = 0;
    direct = true;
  };
  // From here on the open word keeps what each of its bytes stands for.
  const auto spell_out = [&] {
    if (direct) {
      for (size_t i = 0; i < size; ++i) {
        origin[i] = {start + static_cast<int32_t>(i), start + static_cast<int32_t>(i) + 1};
      }
    }
    direct = false;
  };
  const auto alone = [&](int32_t id, const char* bytes, size_t length, CharSpan place) {
    if (id >= 0) {
      out.push(id, place, word);
      word += step;
      return;
    }
    char padded[16] = {};
    CharSpan origins[16];
    std::memcpy(padded, bytes, length);
    for (size_t i = 0; i < length; ++i) origins[i] = place;
    if (limit_ == 0) {
      out.push(model_->unk_id(), place, word);
    } else {
      emit(padded, length, origins, word, out);
    }
    word += step;
  };

  const char* p = segment.data();
  const char* const end = p + segment.size();
  int32_t number = first;  // of the character at p
  while (p < end) {
    const auto lead = static_cast<unsigned char>(*p);
    const CharSpan place{number, number + 1};
    if (lead < 0x80) {
      switch (ascii_kind_[lead]) {
        case kKeep: {
          if (characters == 0 && ascii_words_ && end - p > 16) {
            if (const char* after = ascii_word(p, number, word, buffer, out)) {
              number += static_cast<int32_t>(after - p);
              p = after;
              word += step;
              continue;
            }
          }
          if (characters == 0) {
            // A run of ASCII into an empty buffer.
            start = number;
            const size_t most = std::min(limit_, static_cast<size_t>(end - p));
            size_t n = 0;
            unsigned char c = lead;
            do {
              buffer[n++] = ascii_lower_[c];
            } while (n < most && ascii_kind_[c = static_cast<unsigned char>(p[n])] == kKeep);
            size = characters = n;
            p += n;
            number += static_cast<int32_t>(n);
            last = {number - 1, number};
            continue;
          }
          if (direct && last.end != number) spell_out();
          if (++characters <= limit_) {
            if (!direct) origin[size] = place;
            buffer[size++] = ascii_lower_[lead];
          }
          last = place;
          break;
        }
        case kSpace:
          close();
          break;
        case kPunctuation:
          close();
          alone(ascii_alone_[lead], &ascii_lower_[lead], 1, place);
          break;
        case kDrop:
          break;
        default:
          out.truncate(out_before);
          word = word_before;
          return false;
      }
      ++p;
      ++number;
      continue;
    }
    const Action& act = action(utf8::next(p));
    switch (act.kind) {
      case kKeep:
      case kSeveral: {
        spell_out();
        if (characters == 0) start = number;
        const size_t added = act.kind == kKeep ? 1 : utf8::count({act.bytes, act.length});
        // A word beyond the limit is unknown: only its beginning and end matter then.
        if (characters == 0 || characters + added <= limit_) {
          for (size_t i = 0; i < act.length; ++i) {
            origin[size] = place;
            buffer[size++] = act.bytes[i];
          }
        }
        characters += added;
        last = place;
        break;
      }
      case kSpace:
        close();
        break;
      case kPunctuation:
      case kChinese:
        close();
        alone(act.alone, act.bytes, act.length, place);
        break;
      case kDrop:
        break;
      case kUnsupported:
        out.truncate(out_before);
        word = word_before;
        return false;
    }
    ++number;
  }
  close();
  return true;
}

}  // namespace mica
