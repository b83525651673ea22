#pragma once
// Plain characters: those that a JSON string holds as they are. Most tokens of a vocabulary are made of nothing else,
// and most of a constrained text is free text, so that many nodes accept any few of them: a mask then needs no walk.

#include <cstdint>
#include <vector>

#include "mica/models/generation/constraints/automata.h"
#include "mica/models/generation/constraints/code_points.h"

namespace mica::constraint_detail {

/// All but control characters below U+0020, the quotation mark and the backslash.
CodePointSet plain_characters();

/// From a node: any `length` plain characters fit, whichever they are.
struct PlainRun {
  static constexpr uint16_t kForever = 0xffff;
  uint16_t length = 0;
  bool closed = false;  ///< and no text of more plain characters does, unless the rule ends before the first
};

/// Of every node.
std::vector<PlainRun> find_plain_runs(const Automata& automata);

}  // namespace mica::constraint_detail
