#include "mica/tokenizers/character_table.h"

#include <cstring>
#include <string>

#include "mica/tokenizers/graphemes.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using graphemes::Class;

constexpr char32_t kMarkCharacter = 0x2581;

bool joins(Class c) {
  return c == Class::extend || c == Class::zwj || c == Class::spacing_mark || c == Class::hangul_v ||
         c == Class::hangul_t || c == Class::regional_indicator;
}

bool attaches(Class c) {
  return c == Class::prepend || c == Class::zwj || c == Class::hangul_l || c == Class::cr;
}

bool is_quote_rule(const Json& json, int* rule) {
  const Json expected[] = {
      Json{{"type", "Replace"}, {"pattern", {{"String", "``"}}}, {"content", "\""}},
      Json{{"type", "Replace"}, {"pattern", {{"String", "''"}}}, {"content", "\""}},
  };
  for (const int i : {0, 1}) {
    if (json != expected[i]) continue;
    *rule = i;
    return true;
  }
  return false;
}

}  // namespace

std::unique_ptr<CharacterTable> CharacterTable::make(const Normalizer* normalizer) {
  std::unique_ptr<CharacterTable> table(new CharacterTable);
  if (normalizer != nullptr && !table->read(*normalizer)) return nullptr;
  // Marks that stay would have to be put in order.
  if (table->decomposes_ && !table->strips_) return nullptr;
  table->map_ = table->precompiled_ != nullptr ? &table->precompiled_->map() : &table->no_map_;
  return table;
}

CharacterTable::~CharacterTable() {
  for (const auto& page : pages_) std::unique_ptr<Page>(page.load());
}

bool CharacterTable::read(const Normalizer& normalizer) {
  std::vector<const Normalizer*> parts = {&normalizer};
  if (const auto* sequence = dynamic_cast<const NormalizerSequence*>(&normalizer)) {
    parts.clear();
    for (const auto& part : sequence->parts()) parts.push_back(part.get());
  }
  size_t at = 0;
  int first = 0, second = 0;
  if (parts.size() >= 2 && is_quote_rule(parts[0]->to_json(), &first) && is_quote_rule(parts[1]->to_json(), &second)) {
    quotes_ = first != second;
    if (!quotes_) return false;
    at = 2;
  }
  for (; at < parts.size(); ++at) {
    if (precompiled_ != nullptr) return false;
    if ((precompiled_ = dynamic_cast<const Precompiled*>(parts[at])) != nullptr) continue;
    const std::string type = parts[at]->to_json().value("type", "");
    if (type == "NFKD" || type == "NFD") {
      decomposes_ = true;
      strips_ = false;
    } else if (type == "StripAccents") {
      strips_ = true;
    } else if (type != "Lowercase" && type != "Nmt") {
      return false;
    }
    before_.push_back(parts[at]);
  }
  return true;
}

void CharacterTable::normalize(NormalizedText& text) const {
  for (const Normalizer* part : before_) part->normalize(text);
  if (precompiled_ != nullptr) precompiled_->normalize(text);
}

const CharacterTable::Action& CharacterTable::fill(char32_t c) const {
  auto made = std::make_unique<Page>();
  for (char32_t i = 0; i < 256; ++i) {
    const char32_t member = (c & ~char32_t{0xff}) + i;
    const bool surrogate = member >= 0xd800 && member <= 0xdfff;
    (*made)[i] = surrogate ? Action{kUnsupported, 0, 0, {}} : make_action(member);
  }
  // Another thread may have been faster; its page is the same.
  std::atomic<Page*>& slot = pages_[c >> 8];
  Page* page = nullptr;
  if (slot.compare_exchange_strong(page, made.get(), std::memory_order_acq_rel)) page = made.release();
  return (*page)[c & 0xff];
}

CharacterTable::Action CharacterTable::make_action(char32_t c) const {
  Action action{kUnsupported, 0, 0, {}};
  if (decomposes_) {
    std::vector<unicode::Change> parts;
    unicode::decompose(std::span(&c, 1), true, parts);
    for (const auto& part : parts) {
      if (unicode::has(part.c, unicode::kReordered) && !unicode::has(part.c, unicode::kCombiningMark)) return action;
    }
  }
  std::string raw;
  utf8::append(c, raw);
  NormalizedText text;
  text.assign(raw, 0);
  for (const Normalizer* part : before_) part->normalize(text);
  const std::vector<char32_t> before = text.characters();
  if (before.empty()) {
    // Its neighbours become neighbours of each other.
    action = {kVanish, kJoins | kFollows, 0, {}};
    return action;
  }
  if (precompiled_ != nullptr) {
    const Class front = graphemes::class_of(before.front()), back = graphemes::class_of(before.back());
    if (joins(front)) action.flags |= kJoins;
    if (attaches(back)) action.flags |= kAttaches;
    // Pictographs behind a joiner, consonants behind a virama.
    if (front == Class::pictographic || before.front() >= 0x900) action.flags |= kFollows;
    precompiled_->normalize(text);
  }
  const std::vector<char32_t> after = text.characters();
  const std::string& bytes = text.text();
  if (after.empty()) {
    action.kind = kDrop;
    return action;
  }
  if (bytes.size() > sizeof(action.bytes)) {
    action.kind = kLong;
    return action;
  }
  action.kind = after.size() > 1                               ? kSeveral
                : after[0] == U' '                             ? kBlank
                : after[0] == kMarkCharacter                   ? kMark
                : unicode::has(after[0], unicode::kWhitespace) ? kWhite
                                                               : kWord;
  action.length = static_cast<uint8_t>(bytes.size());
  std::memcpy(action.bytes, bytes.data(), bytes.size());
  return action;
}

}  // namespace mica
