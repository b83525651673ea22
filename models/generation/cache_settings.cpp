#include "mica/models/generation/cache_settings.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "mica/base/error.h"

namespace mica {
namespace {

[[noreturn]] void refuse(const std::string& problem, const std::string& mend) {
  throw Error(problem, "generation settings", mend);
}

// Names of caches that hold keys and values as they are, with windows where the model has them: mica's own does both,
// and its room is made beforehand.
constexpr std::array<std::string_view, 5> kPlain{"dynamic", "static", "sliding_window", "hybrid", "hybrid_chunked"};

void check_range(const char* key, int64_t value, int64_t least) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (value >= least && value <= kMost) return;
  refuse(std::string("cache_config: ") + key + " is " + std::to_string(value),
         "it must be from " + std::to_string(least) + " to " + std::to_string(kMost));
}

}  // namespace

std::optional<CacheQuantization> cache_quantization(const GenerationConfig& config) {
  const std::string kind = config.cache_implementation.value_or("dynamic");
  const CacheConfig given = config.cache_config.value_or(CacheConfig{});
  if (std::find(kPlain.begin(), kPlain.end(), kind) != kPlain.end()) {
    if (given == CacheConfig{}) return std::nullopt;
    refuse("cache_config without a cache that has settings", "set cache_implementation to \"quantized\" as well");
  }
  if (kind != "quantized") {
    refuse("cache_implementation is \"" + printable(kind) + "\"",
           "use dynamic or static (mica's own, with windows where the model has them), or quantized");
  }
  if (given.backend && *given.backend != "hqq") {
    refuse("cache_config: backend is \"" + printable(*given.backend) + "\"",
           "leave it out, or name \"hqq\", the one of 8 bits");
  }
  if (given.nbits && *given.nbits != 8) {
    refuse("cache_config: nbits is " + std::to_string(*given.nbits), "mica keeps 8 bits: set nbits to 8");
  }
  for (const auto& [key, axis] : {std::pair{"axis_key", given.axis_key}, std::pair{"axis_value", given.axis_value}}) {
    if (axis && *axis != 1) {
      refuse(std::string("cache_config: ") + key + " is " + std::to_string(*axis),
             "mica's groups lie along a head's dimension: set it to 1");
    }
  }
  CacheQuantization result;
  result.group_size = given.q_group_size.value_or(result.group_size);
  result.residual_length = given.residual_length.value_or(result.residual_length);
  check_range("q_group_size", result.group_size, 1);
  check_range("residual_length", result.residual_length, 0);
  return result;
}

}  // namespace mica
