#pragma once
// A model's inputs as generate() takes them: ragged prompts.

#include <cstdint>
#include <optional>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/models/generation/generation_config.h"
#include "mica/models/generation/model_session.h"

namespace mica {

/// Token ids, a row a prompt, of different lengths.
using Prompts = std::vector<std::vector<int64_t>>;

/// The rows of input_ids without padding, on whichever side it stands. Throws Error for a mask with gaps (zeros between
/// ones), and where there are no input_ids.
Prompts prompts_of(const ModelInputs& inputs);

/// The prompts as one ragged batch, with token_type_ids if `inputs` has them.
ModelInputs unpadded(const ModelInputs& inputs);

/// What may be kept of a prompt of a model that holds `context` tokens, when `config` asks for new ones: the context
/// less the new tokens, but not less than half of it.
int64_t prompt_room(int64_t context, const GenerationConfig& config);

/// Drops the oldest tokens of a prompt beyond `room`; a start token at its front stays.
std::vector<int64_t> newest(const std::vector<int64_t>& prompt, int64_t room, std::optional<int64_t> start_token);

/// The session that Model::generate() makes for these inputs; also one for GenerationHooks::draft. `capacity`: tokens a
/// row may grow to without another allocation. `quantization`: see ModelSession.
ModelSession start_session(const Model& model, const ModelInputs& inputs, int64_t capacity = 256,
                           const std::optional<CacheQuantization>& quantization = {});

}  // namespace mica
