#include "mica/tokenizers/unigram_fast.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "mica/tokenizers/graphemes.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using Prepend = MetaspaceSettings::Prepend;

constexpr std::string_view kMark = "\u2581";
constexpr size_t kMarkBytes = 3;
constexpr size_t kFewTokenBytes = 10;  // words of so many bytes have few tokens
constexpr uint8_t kMarked = 0x80;      // the word begins with a mark: flag in the size of a cached word

constexpr uint64_t repeat(unsigned char byte) {
  return 0x0101010101010101u * byte;
}

// 0x80 in every byte that is not U+0021 to U+007E.
uint64_t ends_of_word(uint64_t block) {
  const uint64_t low = block & repeat(0x7f);
  const uint64_t at_least_21 = low + repeat(0x80 - 0x21);
  const uint64_t is_7f = low + repeat(1);
  return (~at_least_21 | is_7f | block) & repeat(0x80);
}

// 0x80 in every byte that equals `byte`; exact, for blocks of ASCII.
uint64_t equal_bytes(uint64_t block, unsigned char byte) {
  const uint64_t x = block ^ repeat(byte);
  return ~(((x & repeat(0x7f)) + repeat(0x7f)) | x) & repeat(0x80);
}

uint64_t lower(uint64_t block) {
  const uint64_t low = block & repeat(0x7f);
  const uint64_t capital = (low + repeat(0x80 - 'A')) & ~(low + repeat(0x7f - 'Z')) & ~block & repeat(0x80);
  return block | capital >> 2;
}

uint64_t first_bytes(size_t n) {
  return n >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * n)) - 1;
}

}  // namespace

struct UnigramFast::Memory : FastPath::Scratch {
  explicit Memory(std::shared_ptr<WordCachePool> pool) : caches(std::move(pool)), cache(caches->borrow()) {}
  ~Memory() override { caches->give_back(std::move(cache)); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::shared_ptr<WordCachePool> caches;
  std::unique_ptr<WordCache> cache;
  BlockVector<char> word;       // the open word behind a mark, and 32 bytes more
  BlockVector<int32_t> places;  // the character that each character of it stands for, the mark included
  BlockVector<Unigram::Step> steps;
  std::vector<ModelToken> tokens;
  NormalizedText text;
};

std::shared_ptr<const UnigramFast> UnigramFast::make(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer,
                                                     const TokenModel* model) {
  const auto* unigram = dynamic_cast<const Unigram*>(model);
  if (unigram == nullptr || pre_tokenizer == nullptr || std::endian::native != std::endian::little) return nullptr;
  auto path = std::make_shared<UnigramFast>();
  const auto* metaspace = dynamic_cast<const MetaspacePreTokenizer*>(pre_tokenizer);
  if (const auto* sequence = dynamic_cast<const PreTokenizerSequence*>(pre_tokenizer)) {
    const auto& parts = sequence->parts();
    if (parts.size() != 2 || parts[0]->to_json().value("type", "") != "WhitespaceSplit") return nullptr;
    metaspace = dynamic_cast<const MetaspacePreTokenizer*>(parts[1].get());
    path->splits_white_ = true;
  }
  if (metaspace == nullptr || metaspace->settings().replacement != kMark || !metaspace->settings().split)
    return nullptr;
  path->prepend_ = metaspace->settings().prepend;
  path->characters_ = CharacterTable::make(normalizer);
  if (path->characters_ == nullptr) return nullptr;
  path->model_ = unigram;
  path->surface_id_ = unigram->surface_id();
  const CharacterTable& table = *path->characters_;
  path->ascii_lowers_ = table[U'A'].bytes[0] == 'a';
  path->ascii_words_ = table[U' '].kind == CharacterTable::kBlank;
  for (char32_t c = 0x21; c < 0x7f; ++c) {
    const CharacterTable::Action& action = table[c];
    const char32_t expected = path->ascii_lowers_ && c >= U'A' && c <= U'Z' ? c + 32 : c;
    path->ascii_words_ = path->ascii_words_ && action.kind == CharacterTable::kWord && action.length == 1 &&
                         action.bytes[0] == static_cast<char>(expected);
  }
  return path;
}

std::unique_ptr<FastPath::Scratch> UnigramFast::make_scratch() const {
  return std::make_unique<Memory>(caches_);
}

// One segment on its way through.
class UnigramFast::Pass {
 public:
  Pass(const UnigramFast& path, std::string_view segment, int32_t first, bool one_word, int32_t word, Memory& memory,
       TokenList& out)
      : path_(path),
        table_(*path.characters_),
        memory_(memory),
        out_(out),
        p_(segment.data()),
        end_(p_ + segment.size()),
        number_(first),
        first_(first),
        word_(word),
        step_(one_word ? 0 : 1) {
    if (memory_.word.size() < 256) memory_.word.resize(256);
    if (memory_.places.size() < 256) memory_.places.resize(256);
    std::memcpy(memory_.word.data(), kMark.data(), kMarkBytes);
  }

  int32_t word() const { return word_; }

  bool run() {
    while (p_ < end_) {
      if (size_ == 0 && path_.ascii_words_ && take_ascii_word()) continue;
      if (!take_character()) return false;
    }
    close();
    return true;
  }

 private:
  // The common case: a run of U+0021 to U+007E of up to 32 bytes with a blank behind it, or the end of the segment.
  bool take_ascii_word() {
    WordCache::Key key{};
    const auto rest = static_cast<size_t>(end_ - p_);
    char padded[WordCache::kWordBytes + 8];
    const char* from = p_;
    if (rest < sizeof padded) {
      std::memset(padded, 0, sizeof padded);
      std::memcpy(padded, p_, rest);
      from = padded;
    }
    size_t size = 0;
    for (size_t i = 0; i < key.size(); ++i) {
      std::memcpy(&key[i], from + 8 * i, 8);
      const uint64_t ends = ends_of_word(key[i]);
      if (ends == 0) {
        size += 8;
        continue;
      }
      const auto n = static_cast<size_t>(std::countr_zero(ends)) / 8;
      key[i] &= first_bytes(n);
      size += n;
      break;
    }
    const bool at_end = size == rest;
    if (size == 0 || (!at_end && from[size] != ' ') || (marked_ && mark_place_ != number_ - 1)) return false;
    if (table_.quotes()) {
      uint64_t seen = 0;
      bool several = false;
      for (const uint64_t block : key) {
        const uint64_t here = equal_bytes(block, '\'') | equal_bytes(block, '`');
        several = several || (here & (here - 1)) != 0 || (seen != 0 && here != 0);
        seen |= here;
      }
      if (several) return false;
    }
    if (path_.ascii_lowers_) {
      for (uint64_t& block : key) block = lower(block);
    }
    const bool marked = marked_ || wants_mark(number_);
    // Character i of the word, the mark being number 0 where there is one, is base + i; but a mark that was put in
    // front stands for the first character.
    const bool own_place = marked_;
    const auto characters = static_cast<int32_t>(size) + (marked ? 1 : 0);
    const int32_t base = own_place ? mark_place_ : number_ - (marked ? 1 : 0);
    const auto tag = static_cast<uint8_t>(size | (marked ? kMarked : 0));
    WordCache::Entry& entry = memory_.cache->at(key, tag);
    if (!WordCache::holds(entry, key, tag) && !fill(entry, key, tag, size, marked, true)) {
      // Not to be kept: as any other word.
      for (int32_t i = 0; i < characters; ++i) place(i) = std::max(base + i, own_place ? base : number_);
      emit(marked);
    } else {
      int32_t begin = base;
      const int32_t lowest = own_place ? base : number_;
      for (size_t i = 0; i < entry.count; ++i) {
        const int32_t end = base + entry.ends[i];
        const CharSpan span{std::max(begin, lowest), std::max(end, lowest + 1)};
        if (entry.ids[i] == path_.surface_id_) note(entry, i, marked);
        out_.push(entry.ids[i], span, word_);
        begin = end;
      }
    }
    word_ += step_;
    marked_ = false;
    characters_ = 0;
    inserted_ = false;
    started_ = true;
    p_ += size;
    number_ += static_cast<int32_t>(size);
    if (!at_end) {
      // The blank behind it.
      if (p_ + 1 < end_ && static_cast<unsigned char>(p_[1]) >= 0x80) return true;  // may have company
      ++p_;
      blank(number_++);
    }
    return true;
  }

  // Any character, and with it the others of its grapheme cluster where these matter.
  bool take_character() {
    const char* next = p_;
    const char32_t c = utf8::next(next);
    if (table_.quotes() && (c == U'`' || c == U'\'') && next < end_ && *next == static_cast<char>(c)) {
      p_ = next + 1;
      if (p_ < end_ && static_cast<unsigned char>(*p_) >= 0x80) {
        const char* after = p_;
        if ((table_[utf8::next(after)].flags & CharacterTable::kJoins) != 0) return false;
      }
      number_ += 2;
      put("\"", 1, number_ - 1);
      inserted_ = false;
      return true;
    }
    const CharacterTable::Action& action = table_[c];
    if (p_ >= alone_until_) {
      bool company = (action.flags & CharacterTable::kAttaches) != 0 && next < end_;
      if (next < end_ && static_cast<unsigned char>(*next) >= 0x80) {
        const char* after = next;
        company = company || (table_[utf8::next(after)].flags & CharacterTable::kJoins) != 0;
      }
      if (company) return table_.maps_only() ? take_cluster() : take_run();
    }
    switch (action.kind) {
      case CharacterTable::kUnsupported:
        return false;
      case CharacterTable::kLong:
        return take_run();
      case CharacterTable::kVanish:
        // Where the text starts is not where its first character does: only Metaspace "first" asks for that.
        if (!started_ && path_.prepend_ == Prepend::first) return false;
        break;
      case CharacterTable::kDrop:
        if (!may_drop()) return false;
        break;
      case CharacterTable::kWord:
        put(action.bytes, action.length, number_);
        inserted_ = false;
        break;
      default:
        put_all({action.bytes, action.length}, number_, 1);
    }
    p_ = next;
    ++number_;
    return true;
  }

  // A cluster, where there is only the map of characters.
  bool take_cluster() {
    const std::string_view rest(p_, static_cast<size_t>(end_ - p_));
    const size_t length = graphemes::cluster_length(rest);
    const std::string_view cluster = rest.substr(0, length);
    if (length < Precompiled::kLongCluster) {
      if (const CharsMap::Match match = table_.map().shortest(cluster); match.length > 0) {
        const auto old = static_cast<int32_t>(utf8::count(cluster));
        if (match.replacement.empty() && !may_drop()) return false;
        put_all(match.replacement, number_, old);
        p_ += length;
        number_ += old;
        return true;
      }
    }
    alone_until_ = p_ + length;
    return take_character();
  }

  // Characters that may depend on each other, through the normalizers themselves.
  bool take_run() {
    const char* at = p_;
    int32_t count = 0;
    uint8_t flags = 0;
    while (at < end_) {
      const char* next = at;
      const char32_t c = utf8::next(next);
      const CharacterTable::Action& action = table_[c];
      if (action.kind == CharacterTable::kUnsupported) return false;
      const bool follows = (flags & CharacterTable::kAttaches) != 0 || (action.flags & CharacterTable::kJoins) != 0 ||
                           (count > 1 && (action.flags & CharacterTable::kFollows) != 0);
      if (count > 0 && !follows) break;
      // Quotes change before all else; let them begin anew.
      if (count > 0 && table_.quotes() && (c == U'`' || c == U'\'')) return false;
      flags = action.flags;
      at = next;
      ++count;
    }
    // With a letter in front, what the map drops at the start is part of that, as it is of the character before.
    std::string& raw = raw_;
    raw.assign("x").append(p_, at);
    memory_.text.assign(raw, number_ - 1);
    table_.normalize(memory_.text);
    const std::string& made = memory_.text.text();
    if (made.empty() || made[0] != 'x') return false;
    if (!may_drop() && (made.size() == 1 || place_of(1) != number_)) return false;
    int32_t last = -1;
    for (size_t i = 1; i < made.size();) {
      const auto length = static_cast<size_t>(utf8::length(static_cast<unsigned char>(made[i])));
      const int32_t where = place_of(i);
      put_one({made.data() + i, length}, where);
      inserted_ = where == last;
      last = where;
      i += length;
    }
    p_ = at;
    number_ += count;
    return true;
  }
  int32_t place_of(size_t byte) const {
    return memory_.text.original({static_cast<uint32_t>(byte), static_cast<uint32_t>(byte) + 1}).begin;
  }

  // A character of which the map leaves nothing counts as part of the one before, if that was not inserted.
  bool may_drop() const { return started_ && !inserted_; }

  // What `old` characters from `place` on become.
  void put_all(std::string_view bytes, int32_t first, int32_t old) {
    int32_t i = 0;
    for (size_t at = 0; at < bytes.size(); ++i) {
      const auto length = static_cast<size_t>(utf8::length(static_cast<unsigned char>(bytes[at])));
      put_one(bytes.substr(at, length), first + std::min(i, old - 1));
      at += length;
    }
    if (i > 0) inserted_ = i > old;
  }

  void put_one(std::string_view bytes, int32_t place) {
    const char* p = bytes.data();
    const char32_t c = utf8::next(p);
    if (c == U' ') {
      blank(place);
    } else if (path_.splits_white_ && unicode::has(c, unicode::kWhitespace)) {
      close();
    } else if (c == 0x2581) {
      mark(place);
    } else {
      put(bytes.data(), bytes.size(), place);
    }
    started_ = true;
  }

  void blank(int32_t place) {
    if (path_.splits_white_) {
      close();
    } else {
      mark(place);
    }
    started_ = true;
  }

  // A word begins with its own mark.
  void mark(int32_t place) {
    close();
    marked_ = true;
    mark_place_ = place;
    characters_ = 1;
    memory_.places[0] = place;
  }

  // Whether a word that starts at this character without a mark gets one.
  bool wants_mark(int32_t start) const {
    return path_.prepend_ == Prepend::always ||
           (path_.prepend_ == Prepend::first && (path_.splits_white_ ? start == 0 : !started_ && first_ == 0));
  }

  int32_t& place(int32_t i) { return memory_.places[static_cast<size_t>(i)]; }

  void put(const char* bytes, size_t n, int32_t where) {
    if (size_ == 0 && !marked_ && wants_mark(where)) {
      marked_ = true;
      mark_place_ = where;
      memory_.places[0] = where;
      characters_ = 1;
    }
    if (kMarkBytes + size_ + n + WordCache::kWordBytes > memory_.word.size())
      memory_.word.resize(2 * memory_.word.size());
    if (static_cast<size_t>(characters_) + 1 >= memory_.places.size()) memory_.places.resize(2 * memory_.places.size());
    std::memcpy(memory_.word.data() + kMarkBytes + size_, bytes, n);
    size_ += n;
    place(characters_++) = where;
    started_ = true;
  }

  // Ends the open word.
  void close() {
    if (size_ == 0 && !marked_) return;
    const bool marked = marked_;
    bool done = false;
    if (size_ <= WordCache::kWordBytes) {
      WordCache::Key key{};
      std::memcpy(key.data(), memory_.word.data() + kMarkBytes, size_);
      const auto tag = static_cast<uint8_t>(size_ | (marked ? kMarked : 0));
      WordCache::Entry& entry = memory_.cache->at(key, tag);
      done = WordCache::holds(entry, key, tag) || fill(entry, key, tag, size_, marked, false);
      if (done) {
        int32_t begin = 0;
        for (size_t i = 0; i < entry.count; ++i) {
          const int32_t end = entry.ends[i];
          if (entry.ids[i] == path_.surface_id_) note(entry, i, marked);
          out_.push(entry.ids[i], {place(begin), place(end - 1) + 1}, word_);
          begin = end;
        }
      }
    } else {
      cut(size_, marked);
    }
    if (!done) emit(marked);
    word_ += step_;
    size_ = 0;
    characters_ = 0;
    marked_ = false;
  }

  // The word's tokens, from the buffer.
  void cut(size_t size, bool marked) {
    const std::string_view all = view(size, marked);
    std::vector<ModelToken>& tokens = memory_.tokens;
    tokens.clear();
    if (size <= kFewTokenBytes || all.size() > LongWordCache::kBytes) {
      return path_.model_->tokenize(all, memory_.steps, tokens);
    }
    LongWordCache::Entry& known = memory_.cache->long_words().at(all);
    if (known.holds(all)) {
      uint32_t begin = 0;
      for (size_t i = 0; i < known.count; ++i) {
        tokens.push_back({known.ids[i], begin, known.ends[i]});
        begin = known.ends[i];
      }
      return;
    }
    path_.model_->tokenize(all, memory_.steps, tokens);
    uint32_t done = 0;
    const auto follows = [&](const ModelToken& token) { return std::exchange(done, token.end) == token.begin; };
    // Bytes of one character do not follow each other.
    if (tokens.size() > LongWordCache::kTokens || !std::all_of(tokens.begin(), tokens.end(), follows)) return;
    known.size = static_cast<uint8_t>(all.size());
    known.count = static_cast<uint8_t>(tokens.size());
    std::memcpy(known.text, all.data(), all.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      known.ids[i] = tokens[i].id;
      known.ends[i] = static_cast<uint8_t>(tokens[i].end);
    }
  }
  std::string_view view(size_t size, bool marked) const {
    return {memory_.word.data() + (marked ? 0 : kMarkBytes), size + (marked ? kMarkBytes : 0)};
  }

  // Cuts a new word and keeps it in `entry`; false where it cannot be kept, and its tokens are in memory_.tokens.
  bool fill(WordCache::Entry& entry, const WordCache::Key& key, uint8_t tag, size_t size, bool marked, bool from_key) {
    if (from_key) std::memcpy(memory_.word.data() + kMarkBytes, key.data(), sizeof key);
    cut(size, marked);
    if (memory_.tokens.size() > WordCache::kTokens) return false;
    const std::string_view all = view(size, marked);
    uint32_t done = 0;
    uint8_t characters = 0;
    std::array<uint8_t, WordCache::kTokens> ends{};
    for (size_t i = 0; i < memory_.tokens.size(); ++i) {
      const ModelToken& token = memory_.tokens[i];
      if (token.begin != done) return false;  // bytes of one character
      characters = static_cast<uint8_t>(characters + utf8::count(all.substr(token.begin, token.end - token.begin)));
      ends[i] = characters;
      done = token.end;
    }
    entry.key = key;
    entry.size = tag;
    entry.count = static_cast<uint8_t>(memory_.tokens.size());
    entry.ends = ends;
    for (size_t i = 0; i < memory_.tokens.size(); ++i) entry.ids[i] = memory_.tokens[i].id;
    return true;
  }

  // The tokens in memory_.tokens, by the places of the characters.
  void emit(bool marked) {
    const char* const all = memory_.word.data() + (marked ? 0 : kMarkBytes);
    int64_t last = -1;
    int32_t begin = 0, end = 0;  // characters of the token
    for (const ModelToken& token : memory_.tokens) {
      if (token.begin != last) {  // else another byte of the same characters
        begin = end;
        end += static_cast<int32_t>(utf8::count({all + token.begin, token.end - token.begin}));
        last = token.begin;
      }
      if (token.id == path_.surface_id_) {
        out_.note_text({all + token.begin, token.end - token.begin}, path_.model_->vocabulary().token(token.id));
      }
      out_.push(token.id, {place(begin), place(end - 1) + 1}, word_);
    }
  }

  // The text of an unknown token of a cached word.
  void note(const WordCache::Entry& entry, size_t i, bool marked) {
    char all[kMarkBytes + WordCache::kWordBytes];
    std::memcpy(all, kMark.data(), kMarkBytes);
    std::memcpy(all + kMarkBytes, entry.key.data(), WordCache::kWordBytes);
    const char* p = all + (marked ? 0 : kMarkBytes);
    const auto skip = [&](int characters) {
      for (; characters > 0; --characters) p += utf8::length(static_cast<unsigned char>(*p));
    };
    const int before = i == 0 ? 0 : entry.ends[i - 1];
    skip(before);
    const char* const begin = p;
    skip(entry.ends[i] - before);
    out_.note_text({begin, static_cast<size_t>(p - begin)}, path_.model_->vocabulary().token(entry.ids[i]));
  }

  const UnigramFast& path_;
  const CharacterTable& table_;
  Memory& memory_;
  TokenList& out_;
  const char* p_;
  const char* const end_;
  const char* alone_until_ = nullptr;  // characters before this have no neighbours that matter
  int32_t number_;                     // of the character at p_
  const int32_t first_;
  int32_t word_;
  const int32_t step_;
  size_t size_ = 0;         // bytes of the open word behind its mark
  int32_t characters_ = 0;  // of the open word with its mark
  bool marked_ = false;     // the open word has a mark
  int32_t mark_place_ = 0;
  bool started_ = false;   // the normalizers have given something
  bool inserted_ = false;  // and the last of it was more than the characters it came from
  std::string raw_;
};

bool UnigramFast::encode(std::string_view segment, int32_t first, bool one_word, int32_t& word, Scratch& scratch,
                         TokenList& out) const {
  const size_t before = out.size();
  Pass pass(*this, segment, first, one_word, word, static_cast<Memory&>(scratch), out);
  if (!pass.run()) {
    out.truncate(before);
    return false;
  }
  word = pass.word();
  return true;
}

}  // namespace mica
