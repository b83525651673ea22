#pragma once
// A model's calls with virtual tokens: arguments as its network takes them, and results for the tokens that were given.

#include <cstdint>
#include <memory>
#include <optional>

#include "mica/models/architectures/decoding.h"
#include "mica/models/auto/model.h"
#include "mica/models/virtual_tokens.h"

namespace mica {

/// The active ones; null: none.
const VirtualTokens* virtual_tokens_of(const Model& model);

/// The arguments with the virtual tokens: a prompt's embeddings before each text's, the mask, token types, positions
/// and labels (-100) going along; a prefix with positions that come after it. Throws Error for arguments that don't go
/// with them.
ModelInputs with_virtual_tokens(const VirtualTokens& tokens, const Network& network, Task task,
                                const ModelInputs& inputs);
/// Of a model without virtual tokens the arguments themselves.
ModelInputs with_virtual_tokens(const Model& model, const ModelInputs& inputs);

/// Takes the results of a prompt's tokens out of those of single tokens. `inputs`: with the virtual tokens.
void drop_virtual_tokens(const VirtualTokens& tokens, const Network& network, Task task, const ModelInputs& inputs,
                         ModelOutput* output);

/// Positions that virtual tokens take of the stack whose texts go on token by token.
int64_t virtual_positions(const Model& model);

/// The start of texts that go on token by token, the virtual tokens read already: network().start_decoding() with them.
/// Throws Error for a quantization where the network keeps no keys and values.
std::unique_ptr<DecodingState> start_decoding(const Model& model, const ModelInputs& inputs, int64_t batch,
                                              int64_t capacity, const std::optional<CacheQuantization>& quantization);

}  // namespace mica
