#pragma once
// Character properties as the reference tokenizers see them. Its libraries are frozen at different Unicode versions
// (marks and punctuation at 8, normal forms at 9, lower case and \w at 17), and ids depend on it, so these sets cannot
// come from a system library whose version changes. Mappings (decompositions, compositions, combining classes) are
// stable across versions once assigned: utf8proc gives them for the characters listed here.

#include <cstdint>
#include <span>

namespace mica::unicode::tables {

struct Range {
  uint32_t first, last;
};

/// first, first + step, ... last map to themselves plus delta.
struct CaseRun {
  uint32_t first, last;
  int32_t delta;
  uint32_t step;
};

extern const std::span<const Range> whitespace, punctuation, control, nonspacing_mark, combining_mark, numeric, word,
    decomposable, reordered, composes;
extern const std::span<const CaseRun> lowercase;

}  // namespace mica::unicode::tables
