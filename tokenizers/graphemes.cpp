#include "mica/tokenizers/graphemes.h"

#include <algorithm>
#include <iterator>

#include <utf8proc.h>

#include "mica/tokenizers/utf8.h"

namespace mica::graphemes {
namespace {

struct Range {
  char32_t first, last;
};

template <size_t N>
bool is_in(const Range (&ranges)[N], char32_t c) {
  const auto* after = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                       [](char32_t value, const Range& range) { return value < range.first; });
  return after != std::begin(ranges) && c <= std::prev(after)->last;
}

// What extends a cluster by Unicode 17, which the reference follows, and was not yet assigned in the Unicode 15 of
// utf8proc 2.8.
constexpr Range kNewExtend[] = {{0x897, 0x897},     {0x1acf, 0x1add},   {0x1ae0, 0x1aeb},   {0x10d69, 0x10d6d},
                                {0x10efa, 0x10efc}, {0x113b8, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5},
                                {0x113c7, 0x113ca}, {0x113cc, 0x113d0}, {0x113d2, 0x113d2}, {0x113e1, 0x113e2},
                                {0x11b60, 0x11b67}, {0x11f5a, 0x11f5a}, {0x1611e, 0x1612f}, {0x1e5ee, 0x1e5ef},
                                {0x1e6e3, 0x1e6e3}, {0x1e6e6, 0x1e6e6}, {0x1e6ee, 0x1e6ef}, {0x1e6f5, 0x1e6f5}};

// Not assigned, and controls all the same: Default_Ignorable_Code_Point.
constexpr Range kUnassignedControls[] = {{0x2065, 0x2065},   {0xfff0, 0xfff8},   {0xe0000, 0xe0000},
                                         {0xe0002, 0xe001f}, {0xe0080, 0xe00ff}, {0xe01f0, 0xe0fff}};

// Indic_Conjunct_Break=Consonant (rule GB9c).
constexpr Range kConsonants[] = {
    {0x915, 0x939}, {0x958, 0x95f}, {0x978, 0x97f}, {0x995, 0x9a8}, {0x9aa, 0x9b0}, {0x9b2, 0x9b2}, {0x9b6, 0x9b9},
    {0x9dc, 0x9dd}, {0x9df, 0x9df}, {0x9f0, 0x9f1}, {0xa95, 0xaa8}, {0xaaa, 0xab0}, {0xab2, 0xab3}, {0xab5, 0xab9},
    {0xaf9, 0xaf9}, {0xb15, 0xb28}, {0xb2a, 0xb30}, {0xb32, 0xb33}, {0xb35, 0xb39}, {0xb5c, 0xb5d}, {0xb5f, 0xb5f},
    {0xb71, 0xb71}, {0xc15, 0xc28}, {0xc2a, 0xc39}, {0xc58, 0xc5a}, {0xd15, 0xd3a}};

bool is_linker(char32_t c) {
  return c == 0x94d || c == 0x9cd || c == 0xacd || c == 0xb4d || c == 0xc4d || c == 0xd4d;
}

}  // namespace

Class class_of(char32_t c) {
  switch (utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->boundclass) {
    case UTF8PROC_BOUNDCLASS_CR:
      return Class::cr;
    case UTF8PROC_BOUNDCLASS_LF:
      return Class::lf;
    case UTF8PROC_BOUNDCLASS_CONTROL:
      return is_in(kNewExtend, c) ? Class::extend : Class::control;
    case UTF8PROC_BOUNDCLASS_EXTEND:
      return Class::extend;
    case UTF8PROC_BOUNDCLASS_ZWJ:
      return Class::zwj;
    case UTF8PROC_BOUNDCLASS_SPACINGMARK:
      return Class::spacing_mark;
    case UTF8PROC_BOUNDCLASS_PREPEND:
      return Class::prepend;
    case UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR:
      return Class::regional_indicator;
    case UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC:
      return Class::pictographic;
    case UTF8PROC_BOUNDCLASS_L:
      return Class::hangul_l;
    case UTF8PROC_BOUNDCLASS_V:
      return Class::hangul_v;
    case UTF8PROC_BOUNDCLASS_T:
      return Class::hangul_t;
    case UTF8PROC_BOUNDCLASS_LV:
      return Class::hangul_lv;
    case UTF8PROC_BOUNDCLASS_LVT:
      return Class::hangul_lvt;
    default:
      if (is_in(kUnassignedControls, c)) return Class::control;
      return is_in(kNewExtend, c) ? Class::extend : Class::other;
  }
}

size_t cluster_length(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  const auto ascii = [&](const char* q) { return static_cast<unsigned char>(*q) < 0x80; };
  if (ascii(p) && (end - p == 1 || (ascii(p + 1) && *p != '\r'))) return 1;
  char32_t c = utf8::next(p);
  Class last = class_of(c);
  // Whether what was read ends in a pictograph and extenders; in a consonant, at least one linker and extenders; and
  // how many regional indicators it ends in.
  bool pictograph = last == Class::pictographic, after_zwj = false;
  bool consonant = is_in(kConsonants, c), linked = false;
  bool odd_indicator = last == Class::regional_indicator;
  while (p < end) {
    const char* next = p;
    c = utf8::next(next);
    const Class now = class_of(c);
    bool joins = false;
    if (last == Class::cr) {
      joins = now == Class::lf;
    } else if (last == Class::lf || last == Class::control || now == Class::cr || now == Class::lf ||
               now == Class::control) {
      joins = false;
    } else if (now == Class::extend || now == Class::zwj || now == Class::spacing_mark || last == Class::prepend) {
      joins = true;
    } else if (last == Class::hangul_l) {
      joins = now == Class::hangul_l || now == Class::hangul_v || now == Class::hangul_lv || now == Class::hangul_lvt;
    } else if (last == Class::hangul_lv || last == Class::hangul_v) {
      joins = now == Class::hangul_v || now == Class::hangul_t;
    } else if (last == Class::hangul_lvt || last == Class::hangul_t) {
      joins = now == Class::hangul_t;
    }
    joins = joins || (after_zwj && now == Class::pictographic) || (linked && is_in(kConsonants, c)) ||
            (odd_indicator && now == Class::regional_indicator && last == Class::regional_indicator);
    if (!joins) break;
    p = next;
    after_zwj = pictograph && now == Class::zwj;
    pictograph = now == Class::pictographic || (pictograph && now == Class::extend);
    if (is_in(kConsonants, c)) {
      consonant = true;
      linked = false;
    } else if (consonant && is_linker(c)) {
      linked = true;
    } else if ((now != Class::extend && now != Class::zwj) || c == 0x200c) {
      consonant = linked = false;
    }
    odd_indicator = now == Class::regional_indicator && !(odd_indicator && last == Class::regional_indicator);
    last = now;
  }
  return static_cast<size_t>(p - text.data());
}

}  // namespace mica::graphemes
