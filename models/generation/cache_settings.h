#pragma once
// How a text's keys and values are kept, as generation settings say it.

#include <optional>

#include "mica/models/generation/generation_config.h"
#include "mica/models/modules/cache_quantization.h"

namespace mica {

/// What cache_implementation and cache_config ask for; none: keys and values as they are. Throws Error for what mica
/// doesn't do.
std::optional<CacheQuantization> cache_quantization(const GenerationConfig& config);

}  // namespace mica
