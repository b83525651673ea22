#pragma once
// Extended grapheme clusters (Unicode Standard Annex 29): what a reader takes for one character.

#include <cstdint>
#include <string_view>

namespace mica::graphemes {

enum class Class : uint8_t {
  other,
  cr,
  lf,
  control,
  extend,
  zwj,
  spacing_mark,
  prepend,
  regional_indicator,
  pictographic,
  hangul_l,
  hangul_v,
  hangul_t,
  hangul_lv,
  hangul_lvt
};

Class class_of(char32_t c);

/// Bytes of the cluster that `text` (valid UTF-8, not empty, at the start of a cluster) begins with.
size_t cluster_length(std::string_view text);

}  // namespace mica::graphemes
