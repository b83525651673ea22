#include "mica/tokenizers/byte_level_fast.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <span>
#include <utility>

#include "mica/base/pages.h"
#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/pretokenizers.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr size_t kKeyBytes = 15;
constexpr size_t kSlots = size_t{1} << 17;      // 4 MB a thread
constexpr size_t kMostTokens = 5;               // of a word in the table
constexpr size_t kLongWords = size_t{1} << 11;  // 512 KB a thread

// The first `size` (1 to 15) bytes at `p`, the rest blank, the size in the top byte. `room` bytes are readable.
void load_key(const char* p, size_t size, size_t room, uint64_t* low, uint64_t* high) {
  char copy[16];
  if (room < 16) {
    std::memset(copy, 0, 16);
    std::memcpy(copy, p, size);
    p = copy;
  }
  std::memcpy(low, p, 8);
  std::memcpy(high, p + 8, 8);
  if (size < 8) {
    *low &= (uint64_t{1} << (8 * size)) - 1;
    *high = 0;
  } else {
    *high &= (uint64_t{1} << (8 * (size - 8))) - 1;
  }
  *high |= uint64_t{size} << 56;
}

size_t hash_key(uint64_t low, uint64_t high) {
  const uint64_t h = (low ^ high * 0xff51afd7ed558ccdu) * 0x9e3779b97f4a7c15u;
  return static_cast<size_t>(h >> 32 ^ h >> 49);
}

// Of a word of 16 bytes or more.
size_t hash_long(const char* p, size_t size) {
  uint64_t words[4];
  std::memcpy(words, p, 16);
  std::memcpy(words + 2, p + size - 16, 16);
  const uint64_t h = (words[0] ^ words[1] * 0xff51afd7ed558ccdu ^ words[2] * 0xc4ceb9fe1a85ec53u ^
                      (words[3] + size) * 0xd1342543de82ef95u) *
                     0x9e3779b97f4a7c15u;
  return static_cast<size_t>(h >> 32 ^ h >> 49);
}

constexpr uint64_t kTops = 0x8080808080808080u;

// How many of the eight bytes continue a character.
int continuations(uint64_t block) {
  return static_cast<int>(((block & kTops & ~(block << 1)) >> 7) * 0x0101010101010101u >> 56);
}

// Whether a character of three bytes starts here, and its code point: most of the writing without spaces.
bool is_three(char lead) {
  return (static_cast<unsigned char>(lead) & 0xf0) == 0xe0;
}
char32_t three_bytes(const char* p) {
  const auto byte = [p](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
  return (byte(0) & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63);
}

bool continues(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

// Characters that composing leaves alone whatever stands around them.
class Inert {
 public:
  static bool all(std::string_view text) {
    static const Inert table;
    const char* p = text.data();
    const char* const end = p + text.size();
    while (p < end) {
      if (static_cast<unsigned char>(*p) < 0x80) {
        uint64_t block = 0;
        while (end - p >= 8 && (std::memcpy(&block, p, 8), (block & kTops) == 0)) p += 8;
        while (p < end && static_cast<unsigned char>(*p) < 0x80) ++p;
        continue;
      }
      char32_t c = 0;
      if (is_three(*p)) {
        c = three_bytes(p);
        p += 3;
      } else {
        c = utf8::next(p);
      }
      if ((table.bits_[c >> 6] >> (c & 63) & 1) != 0) return false;
    }
    return true;
  }

 private:
  Inert() : bits_(0x110000 / 64, 0) {
    std::vector<unicode::Change> changes;
    for (char32_t c = 0x80; c < 0x110000; ++c) {
      if (c >= 0xd800 && c <= 0xdfff) continue;
      // Vowels and tails of Hangul compose with what is before them.
      bool inert = !unicode::has(c, unicode::kReordered | unicode::kComposes) && (c < 0x1161 || c > 0x11c2);
      if (inert && unicode::has(c, unicode::kDecomposable)) {
        unicode::decompose(std::span(&c, 1), false, changes);
        unicode::compose(changes);
        inert = changes.size() == 1 && changes[0].c == c;
      }
      if (!inert) bits_[c >> 6] |= uint64_t{1} << (c & 63);
    }
  }
  std::vector<uint64_t> bits_;  // set: not inert
};

bool is_isolated_split(const Json& json) {
  return json["type"] == "Split" && json["behavior"] == "Isolated" && json["invert"] == false &&
         json["pattern"].contains("Regex");
}

}  // namespace

// A character of three bytes by itself: its one to three tokens (no count: not known yet).
struct ByteLevelFast::Character {
  int32_t ids[3] = {0, 0, 0};
  uint32_t count = 0;
};

// A word that is longer than a slot's, or has more tokens.
struct alignas(64) ByteLevelFast::LongWord {
  static constexpr size_t kBytes = 32;
  uint32_t size = 0, count = 0;
  char text[kBytes] = {};
  uint8_t lengths[kBytes] = {};
  int32_t ids[kBytes] = {};
};

struct ByteLevelFast::Memory {
  BlockVector<Slot> slots = BlockVector<Slot>(kSlots);
  BlockVector<LongWord> long_words = BlockVector<LongWord>(kLongWords);
  BlockVector<Character> characters = BlockVector<Character>(size_t{1} << 16);  // by code point
  ByteBpe::Memory bpe;
  std::vector<int32_t> ids;  // of the word at hand
  std::string spaced;        // the text with a space before it
};

struct ByteLevelFast::Pool {
  std::mutex mutex;
  std::vector<std::unique_ptr<Memory>> idle;
};

struct ByteLevelFast::Borrowed : Scratch {
  explicit Borrowed(std::shared_ptr<Pool> from) : pool(std::move(from)) {
    const std::lock_guard lock(pool->mutex);
    if (!pool->idle.empty()) {
      memory = std::move(pool->idle.back());
      pool->idle.pop_back();
    }
  }
  ~Borrowed() override {
    if (!memory) return;
    const std::lock_guard lock(pool->mutex);
    pool->idle.push_back(std::move(memory));
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  std::shared_ptr<Pool> pool;
  std::unique_ptr<Memory> memory;
};

// Writes tokens behind those of a list, whose room grows by blocks.
class ByteLevelFast::Writer {
 public:
  Writer(TokenList& out, size_t bytes) : out_(out), at_(out.size()), block_(std::min<size_t>(bytes / 4 + 16, 8192)) {
    grow(0);
  }
  ~Writer() { out_.truncate(at_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void need(size_t tokens) {
    if (room_ - at_ < tokens) grow(tokens);
  }
  // The tokens of one character: four are written, whatever its count, and those behind it again by what comes next.
  void put(const Character& character, int32_t number, int32_t word) {
    need(4);
    const CharSpan span = {number, number + 1};
    static_assert(sizeof(Character) == 4 * sizeof(int32_t));
    std::memcpy(ids_ + at_, &character, sizeof character);
    std::fill_n(offsets_ + at_, 4, span);
    std::fill_n(words_ + at_, 4, word);
    at_ += character.count;
  }
  void put(int32_t id, int32_t begin, int32_t end, int32_t word) {
    ids_[at_] = id;
    offsets_[at_] = {begin, end};
    words_[at_] = word;
    ++at_;
  }

 private:
  void grow(size_t tokens) {
    room_ = at_ + tokens + block_;
    out_.ids.resize(room_);
    out_.offsets.resize(room_);
    out_.words.resize(room_);
    ids_ = out_.ids.data();
    offsets_ = out_.offsets.data();
    words_ = out_.words.data();
  }

  TokenList& out_;
  size_t at_, room_ = 0, block_;
  int32_t* ids_ = nullptr;
  CharSpan* offsets_ = nullptr;
  int32_t* words_ = nullptr;
};

ByteLevelFast::ByteLevelFast(std::unique_ptr<const ByteBpe> bpe, Plan plan, bool composes)
    : bpe_(std::move(bpe)), plan_(plan), composes_(composes), pool_(std::make_shared<Pool>()) {}

bool ByteLevelFast::read_plan(const PreTokenizer* pre_tokenizer, Plan* plan) {
  if (pre_tokenizer == nullptr) return false;
  const Json json = pre_tokenizer->to_json();
  if (json["type"] == "ByteLevel") {
    plan->split = Split::gpt2;
    plan->add_prefix_space = json["add_prefix_space"];
    return json["use_regex"] == true;
  }
  if (json["type"] != "Sequence") return false;
  const Json& parts = json["pretokenizers"];
  if (parts.size() != 2 && parts.size() != 4) return false;
  std::vector<split::Known> known;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (!is_isolated_split(parts[i])) return false;
    known.push_back(split::recognize(parts[i]["pattern"]["Regex"].get<std::string>()));
  }
  const Json& last = parts.back();
  if (last["type"] != "ByteLevel" || last["use_regex"] != false || last["add_prefix_space"] != false) return false;
  if (known.size() == 3) {
    plan->split = Split::deepseek;
    return known[0] == split::Known::deepseek_numbers && known[1] == split::Known::deepseek_chinese &&
           known[2] == split::Known::deepseek_words;
  }
  switch (known[0]) {
    case split::Known::gpt2:
      plan->split = Split::gpt2;
      return true;
    case split::Known::cl100k:
      plan->split = Split::cl100k;
      return true;
    case split::Known::cl100k_end_first:
      plan->split = Split::cl100k_end_first;
      return true;
    case split::Known::qwen2:
      plan->split = Split::qwen2;
      return true;
    case split::Known::o200k:
      plan->split = Split::o200k;
      return true;
    default:
      return false;
  }
}

std::shared_ptr<const ByteLevelFast> ByteLevelFast::make(const Normalizer* normalizer,
                                                         const PreTokenizer* pre_tokenizer, const TokenModel* model,
                                                         ImageReader* image) {
  const auto* bpe = dynamic_cast<const Bpe*>(model);
  Plan plan{Split::gpt2};
  bool composes = false;
  if (bpe == nullptr || !read_plan(pre_tokenizer, &plan)) return nullptr;
  if (!is_identity(normalizer)) {
    composes = normalizer->to_json() == Json{{"type", "NFC"}};
    if (!composes) return nullptr;
  }
  auto bytes = ByteBpe::make(*bpe, image);
  if (!bytes) return nullptr;
  return std::shared_ptr<const ByteLevelFast>(new ByteLevelFast(std::move(bytes), plan, composes));
}

std::unique_ptr<FastPath::Scratch> ByteLevelFast::make_scratch() const {
  return std::make_unique<Borrowed>(pool_);
}

// A word, or what can be encoded on its own of one that is long or written without spaces.
struct ByteLevelFast::Part {
  const char* begin;
  uint32_t size;
  bool ends_word;
  uint64_t low, high;    // the key of up to kKeyBytes bytes
  const Slot* slots;     // the two where it may be
  Character* character;  // of a single one of three bytes, which has no slots
};

// The tokens of a word by their bytes; returns the number of the character behind it.
template <typename Length>
int32_t ByteLevelFast::write_tokens(const char* p, std::span<const int32_t> ids, const Length& length, int32_t number,
                                    int32_t word, Writer& writer) {
  writer.need(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    // A token that begins inside a character has its place from the character's start on.
    const int32_t begin = continues(*p) ? number - 1 : number;
    for (const char* const end = p + length(i); p < end; ++p) number += continues(*p) ? 0 : 1;
    writer.put(ids[i], begin, number, word);
  }
  return number;
}

// A word that no slot holds; `hash` finds it among the long ones.
int32_t ByteLevelFast::long_word(const Part& part, size_t hash, int32_t number, int32_t word, Memory& memory,
                                 Writer& writer) const {
  const LongWord& known = memory.long_words[hash & (kLongWords - 1)];
  if (known.size != part.size || std::memcmp(known.text, part.begin, part.size) != 0) {
    memory.ids.clear();
    bpe_->encode({part.begin, part.size}, memory.bpe, memory.ids);
    keep_long(part, hash, memory);
    const auto length = [&](size_t i) { return bpe_->length(memory.ids[i]); };
    return write_tokens(part.begin, memory.ids, length, number, word, writer);
  }
  const auto length = [&](size_t i) { return size_t{known.lengths[i]}; };
  return write_tokens(part.begin, {known.ids, known.count}, length, number, word, writer);
}

// Keeps the tokens in memory.ids, where there is room for the word.
void ByteLevelFast::keep_long(const Part& part, size_t hash, Memory& memory) const {
  const std::vector<int32_t>& ids = memory.ids;
  if (part.size > LongWord::kBytes) return;
  LongWord& word = memory.long_words[hash & (kLongWords - 1)];
  word.size = part.size;
  word.count = static_cast<uint32_t>(ids.size());
  std::memcpy(word.text, part.begin, part.size);
  for (size_t i = 0; i < ids.size(); ++i) {
    word.ids[i] = ids[i];
    word.lengths[i] = static_cast<uint8_t>(bpe_->length(ids[i]));
  }
}

// A word that its slots lack: one gets its tokens, or says (0) that they are with the long ones.
int32_t ByteLevelFast::new_word(const Part& part, int32_t number, int32_t word, Memory& memory, Writer& writer) const {
  memory.ids.clear();
  bpe_->encode({part.begin, part.size}, memory.bpe, memory.ids);
  const size_t count = memory.ids.size(), hash = hash_key(part.low, part.high);
  Slot* const pair = &memory.slots[(hash & (kSlots / 2 - 1)) * 2];
  pair[1] = pair[0];
  Slot& slot = pair[0];
  slot = {part.low, part.high, 0, 0};
  if (count > kMostTokens) {
    keep_long(part, hash, memory);
  } else {
    slot.rest = uint64_t{count} << 58;
    for (size_t i = 0; i < count; ++i) {
      const auto id = static_cast<uint64_t>(memory.ids[i]);
      if (i < 3) {
        slot.first |= id << 21 * i;
      } else {
        slot.rest |= id << 21 * (i - 3);
      }
      if (i < kMostTokens - 1) slot.rest |= uint64_t{bpe_->length(memory.ids[i]) & 15} << (42 + 4 * i);
    }
  }
  const auto length = [&](size_t i) { return bpe_->length(memory.ids[i]); };
  return write_tokens(part.begin, memory.ids, length, number, word, writer);
}

void ByteLevelFast::new_character(std::string_view text, Character& character, Memory& memory) const {
  memory.ids.clear();
  bpe_->encode(text, memory.bpe, memory.ids);
  character.count = static_cast<uint32_t>(memory.ids.size());
  std::copy_n(memory.ids.begin(), memory.ids.size(), character.ids);
}

// Where the part that starts at `p` ends: before the first character that no token joins with the one before it.
const char* ByteLevelFast::end_of_part(const char* p, const char* end) const {
  bool beyond_ascii = static_cast<unsigned char>(*p) >= 0x80;
  char32_t last = 0;
  if (is_three(*p)) {
    last = three_bytes(p);
    for (p += 3; p < end && is_three(*p); p += 3) {
      const char32_t c = three_bytes(p);
      if (!bpe_->may_cross(last, c, p[-1], p[0])) return p;
      last = c;
    }
  } else {
    last = utf8::next(p);
  }
  while (p < end) {
    const char* const at = p;
    const char32_t c = utf8::next(p);
    if (beyond_ascii && c >= 0x80 && !bpe_->may_cross(last, c, at[-1], at[0])) return at;
    beyond_ascii = c >= 0x80;
    last = c;
  }
  return end;
}

// Writes characters of three bytes, each by itself, of a word that goes on behind them; returns where they end.
const char* ByteLevelFast::write_singles(const char* p, const char* end, int32_t& number, int32_t word, Memory& memory,
                                         Writer& writer) const {
  while (end - p >= 6 && is_three(p[0]) && is_three(p[3])) {
    const char32_t c = three_bytes(p);
    if (bpe_->may_cross(c, three_bytes(p + 3), p[2], p[3])) break;
    Character& character = memory.characters[c];
    if (character.count == 0) new_character({p, 3}, character, memory);
    writer.put(character, number++, word);
    p += 3;
  }
  return p;
}

// The tokens of a word that has several.
void ByteLevelFast::write_several(const Slot& slot, const Part& part, int32_t number, int32_t characters, int32_t word,
                                  Writer& writer) const {
  writer.need(kMostTokens);
  const int count = slot.count();
  const bool ascii = characters == static_cast<int32_t>(part.size);
  const char* p = part.begin;
  const char* const end = p + part.size;
  for (int i = 0; i < count; ++i) {
    const auto length = static_cast<int32_t>(i + 1 < count ? slot.length(i) : end - p);
    const char* const stop = p + length;
    if (ascii) {
      writer.put(slot.id(i), number, number + length, word);
      number += length;
      p = stop;
    } else {
      const int32_t begin = continues(*p) ? number - 1 : number;
      for (; p < stop; ++p) number += continues(*p) ? 0 : 1;
      writer.put(slot.id(i), begin, number, word);
    }
  }
}

// Parts are cut some ahead of being looked up, so that their slots are on the way from memory meanwhile.
template <typename Scanner>
void ByteLevelFast::encode_with(std::string_view text, int32_t number, int32_t step, int32_t& word, Memory& memory,
                                TokenList& out) const {
  constexpr size_t kAhead = 16;
  constexpr std::ptrdiff_t kSeveral = 9;  // bytes
  constexpr uint64_t kSize = uint64_t{0xff} << 56;
  const Scanner scanner;
  const Slot* const slots = memory.slots.data();
  const bool cuts = bpe_->cuts();
  Writer writer(out, text.size());
  Part parts[kAhead];
  int32_t now = word;
  const char* p = text.data();
  const char* const end = p + text.size();
  const char* word_end = p;  // of the word that is being cut into parts
  while (p < end) {
    if (p < word_end) p = write_singles(p, word_end, number, now, memory, writer);
    size_t count = 0;
    for (; count < kAhead && p < end; ++count) {
      const char* after = word_end;
      if (p == word_end) {
        bool gap = false;
        after = word_end = scanner.next(p, end, &gap);
        // Scripts without spaces make long words, few of which come twice.
        const auto lead = static_cast<unsigned char>(*p == ' ' && p + 1 < word_end ? p[1] : *p);
        if (cuts && (word_end - p > static_cast<std::ptrdiff_t>(kKeyBytes) || lead >= 0xe0)) {
          if (is_three(*p) && word_end - p >= kSeveral) break;  // its single characters, behind what is waiting
          after = end_of_part(p, word_end);
        }
      } else {
        after = end_of_part(p, word_end);
      }
      const auto size = static_cast<size_t>(after - p);
      Part& part = parts[count];
      part.begin = p;
      part.size = static_cast<uint32_t>(size);
      part.ends_word = after == word_end;
      part.slots = nullptr;
      part.character = nullptr;
      if (size == 3 && is_three(*p)) {
        part.character = &memory.characters[three_bytes(p)];
        __builtin_prefetch(part.character);
      } else if (size <= kKeyBytes) {
        load_key(p, size, static_cast<size_t>(end - p), &part.low, &part.high);
        part.slots = &slots[(hash_key(part.low, part.high) & (kSlots / 2 - 1)) * 2];
        __builtin_prefetch(part.slots);
      }
      p = after;
    }
    for (size_t i = 0; i < count; ++i) {
      const Part& part = parts[i];
      if (part.character != nullptr) {
        if (part.character->count == 0) new_character({part.begin, part.size}, *part.character, memory);
        writer.put(*part.character, number, now);
        ++number;
        if (part.ends_word) now += step;
        continue;
      }
      int32_t characters = static_cast<int32_t>(part.size);
      if (part.slots == nullptr) {
        number = long_word(part, hash_long(part.begin, part.size), number, now, memory, writer);
        characters = 0;
      } else {
        if (((part.low | (part.high & ~kSize)) & kTops) != 0) {
          characters -= continuations(part.low) + continuations(part.high & ~kSize);
        }
        const Slot* slot = part.slots;
        if (slot->low != part.low || slot->high != part.high) ++slot;
        if (slot->low == part.low && slot->high == part.high) {
          if (slot->count() == 1) {
            writer.need(1);
            writer.put(slot->id(0), number, number + characters, now);
          } else if (slot->count() == 0) {
            number = long_word(part, hash_key(part.low, part.high), number, now, memory, writer);
            characters = 0;
          } else {
            write_several(*slot, part, number, characters, now, writer);
          }
        } else {
          number = new_word(part, number, now, memory, writer);
          characters = 0;
        }
      }
      number += characters;
      if (part.ends_word) now += step;
    }
  }
  word = now;
}

bool ByteLevelFast::encode(std::string_view segment, int32_t first, bool one_word, int32_t& word, Scratch& scratch,
                           TokenList& out) const {
  if (composes_ && !Inert::all(segment)) return false;
  auto& borrowed = static_cast<Borrowed&>(scratch);
  if (!borrowed.memory) borrowed.memory = std::make_unique<Memory>();
  Memory& memory = *borrowed.memory;
  const size_t before = out.size();
  const int32_t step = one_word ? 0 : 1;
  int32_t number = first;
  std::string_view text = segment;
  if (plan_.add_prefix_space && segment[0] != ' ') {
    memory.spaced.assign(1, ' ').append(segment);
    text = memory.spaced;
    --number;
  }
  const auto with = [&]<typename Scanner>() { encode_with<Scanner>(text, number, step, word, memory, out); };
  switch (plan_.split) {
    case Split::gpt2:
      with.template operator()<split::Gpt2Scanner>();
      break;
    case Split::cl100k:
      with.template operator()<split::Cl100kScanner<3>>();
      break;
    case Split::cl100k_end_first:
      with.template operator()<split::Cl100kScanner<3, true>>();
      break;
    case Split::qwen2:
      with.template operator()<split::Cl100kScanner<1>>();
      break;
    case Split::o200k:
      with.template operator()<split::O200kScanner>();
      break;
    case Split::deepseek:
      with.template operator()<split::DeepSeekScanner>();
      break;
  }
  // The space put before the text stands for its first character.
  for (size_t i = before; number < first && i < out.size() && out.offsets[i].begin < first; ++i) {
    out.offsets[i] = {first, std::max(out.offsets[i].end, first + 1)};
  }
  return true;
}

}  // namespace mica
