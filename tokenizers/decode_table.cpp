#include "mica/tokenizers/decode_table.h"

#include <cstring>
#include <limits>

#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr size_t kCopied = 16;  // bytes that are copied at once

char* copy(const char* from, uint32_t length, char* to) {
  if (length <= kCopied) {
    std::memcpy(to, from, kCopied);
  } else {
    std::memcpy(to, from, length);
  }
  return to + length;
}

}  // namespace

std::shared_ptr<const DecodeTable> DecodeTable::make(const Engine& engine) {
  if (!engine.decoder) return nullptr;
  auto table = std::make_shared<DecodeTable>();
  table->bytes_ = engine.decoder->makes_bytes();
  table->entries_.resize(static_cast<size_t>(engine.id_bound()));
  std::string& texts = table->texts_;
  std::string first;
  for (int64_t i = 0; i < engine.id_bound(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (!engine.knows(id)) continue;
    Entry& entry = table->entries_[static_cast<size_t>(i)];
    const std::string_view token = engine.text(id);
    entry.begin = static_cast<uint32_t>(texts.size());
    first.clear();
    if (!engine.decoder->append(token, false, texts) || !engine.decoder->append(token, true, first)) return nullptr;
    if (texts.size() + first.size() > std::numeric_limits<uint32_t>::max() - kCopied) return nullptr;
    entry.length = static_cast<uint32_t>(texts.size()) - entry.begin;
    entry.first_begin = entry.begin;
    entry.first_length = entry.length;
    if (first != std::string_view(texts).substr(entry.begin)) {
      entry.first_begin = static_cast<uint32_t>(texts.size());
      entry.first_length = static_cast<uint32_t>(first.size());
      texts += first;
    }
    entry.known = true;
    entry.special = engine.added.is_special_id(id);
  }
  texts.append(kCopied, '\0');
  return table;
}

std::string DecodeTable::decode(std::span<const int32_t> ids, bool skip_special) const {
  size_t at = 0;
  const Entry* first = nullptr;
  for (; at < ids.size() && first == nullptr; ++at) first = wanted(ids[at], skip_special);
  if (first == nullptr) return {};
  size_t total = first->first_length;
  for (size_t i = at; i < ids.size(); ++i) {
    const Entry* entry = wanted(ids[i], skip_special);
    if (entry != nullptr) total += entry->length;
  }
  std::string text(total + kCopied, '\0');
  char* to = copy(texts_.data() + first->first_begin, first->first_length, text.data());
  for (; at < ids.size(); ++at) {
    const Entry* entry = wanted(ids[at], skip_special);
    if (entry != nullptr) to = copy(texts_.data() + entry->begin, entry->length, to);
  }
  text.resize(total);
  if (!bytes_) return text;
  std::string mended;
  const std::string_view valid = utf8::valid(text, mended);
  return valid.data() == text.data() ? text : mended;
}

}  // namespace mica
