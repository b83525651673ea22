#pragma once
// The plainest decoding: the most probable token, again and again.

#include "mica/models/auto/model.h"

namespace mica {

/// Exactly `new_tokens` tokens after the prompt, [batch, tokens + new_tokens] int64; the end token is a token like any
/// other. Inputs: input_ids [batch, tokens], and token_type_ids if the model takes them (a new token gets the last
/// one's type). Positions are 0, 1, 2, ... for every family, as the reference's generate() numbers them.
///
/// A config with is_decoder makes every token see what is before it. Without it the prompt's tokens see each other, as
/// in the reference, and each new token sees all before it. The whole text is run again for each new token: encoders
/// that serve as decoders have no cache here.
Tensor greedy(const Model& model, const ModelInputs& inputs, int64_t new_tokens);

}  // namespace mica
