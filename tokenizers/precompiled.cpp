#include "mica/tokenizers/precompiled.h"

#include <string>
#include <vector>

#include "mica/tokenizers/graphemes.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// `old` characters become `text`: what is too much counts as inserted, what is too little is swallowed by the character
// before (which is lost, and with it the alignment of everything behind, where the text begins so: as in the
// reference).
void push_replacement(int32_t old, std::string_view text, std::vector<unicode::Change>& changes) {
  const size_t first = changes.size();
  for (const char *p = text.data(), *end = p + text.size(); p < end;) changes.push_back({utf8::next(p), 0});
  const int32_t more = static_cast<int32_t>(changes.size() - first) - old;
  if (more < 0 && !changes.empty()) changes.back().change += more;
  for (int32_t i = 0; i < more; ++i) changes[changes.size() - 1 - static_cast<size_t>(i)].change = 1;
}

}  // namespace

void Precompiled::normalize(NormalizedText& text) const {
  std::vector<unicode::Change> changes;
  changes.reserve(text.text().size());
  bool changed = false;
  std::string_view rest = text.text();
  while (!rest.empty()) {
    const size_t length = graphemes::cluster_length(rest);
    const std::string_view cluster = rest.substr(0, length);
    rest.remove_prefix(length);
    if (length < kLongCluster) {
      if (const CharsMap::Match match = map_.shortest(cluster); match.length > 0) {
        push_replacement(static_cast<int32_t>(utf8::count(cluster)), match.replacement, changes);
        changed = true;
        continue;
      }
    }
    for (const char *p = cluster.data(), *end = p + length; p < end;) {
      const char* const start = p;
      const char32_t c = utf8::next(p);
      const CharsMap::Match match = map_.shortest({start, static_cast<size_t>(p - start)});
      if (match.length > 0) {
        push_replacement(1, match.replacement, changes);
        changed = true;
      } else {
        changes.push_back({c, 0});
      }
    }
  }
  if (changed) text.transform(changes);
}

Json Precompiled::to_json() const {
  return {{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(map_.bytes())}};
}

void Nmt::normalize(NormalizedText& text) const {
  text.filter([](char32_t c) {
    return !((c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f);
  });
  text.map([](char32_t c) {
    const bool space = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                       (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff ||
                       c == 0xfffd;
    return space ? U' ' : c;
  });
}

NormalizerPtr read_precompiled(Fields& fields) {
  const std::string text = fields.string("precompiled_charsmap", "");
  if (text.empty()) return std::make_shared<Precompiled>(CharsMap());
  return std::make_shared<Precompiled>(CharsMap(decode_base64(text, fields.file()), fields.file()));
}

}  // namespace mica
