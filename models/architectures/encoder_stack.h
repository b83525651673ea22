#pragma once
// An encoder's spec as a stack's: for those that write, token by token, and perhaps look at another network's states.

#include "mica/models/architectures/encoder.h"
#include "mica/models/architectures/stack.h"

namespace mica {

/// Whether a stack can be what the spec describes. It knows no layers that share weights, no task types and no bias of
/// distances that all layers share.
bool has_stack(const EncoderSpec& spec);

/// The stack of the same tensors, causal where the spec is. Cross-attention has the names of self-attention with
/// "cross" before them. Throws Error where there is none.
StackSpec stack_of(const EncoderSpec& spec);

}  // namespace mica
