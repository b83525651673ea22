#pragma once
// Internal: what the allowed globals mean when a pickle calls them, and what its persistent ids name.

#include <functional>
#include <string>

#include "mica/tensor/torch/pickle.h"

namespace mica::torch {

/// Throws the Error for a problem at the opcode that is being read.
using Fail = std::function<void(const std::string& problem)>;

/// The value of `global(*arguments)`, `arguments` being a tuple. What it needs is added to the pickle's tables.
Value call(Pickle& pickle, const Global& global, const Value& arguments, const Fail& fail);

/// The storage of a persistent id, a tuple ("storage", type, key, location, items) and, in files of before torch 1.6,
/// a view (key, first item, items) of it or None.
Value persistent(Pickle& pickle, const Value& id, const Fail& fail);

}  // namespace mica::torch
