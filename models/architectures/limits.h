#pragma once
// Sizes beyond which a config is taken for a mistake, before anything is allocated.

#include <cstdint>

namespace mica {

inline constexpr int64_t kMaxSize = 1 << 20;  ///< of a vector
inline constexpr int64_t kMaxVocabulary = 1 << 26;
inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxExperts = 1 << 16;

}  // namespace mica
