#pragma once
// How a cache keeps keys and values in 8 bits.

#include <algorithm>
#include <cstdint>

namespace mica {

/// The oldest tokens of a text are kept in 8 bits, the newest as they are. Which are which follows from the text's
/// length alone, and changes only at whole blocks: how a text came, in one call or token by token, makes no difference.
struct CacheQuantization {
  int64_t group_size = 64;        ///< neighbours along a head's dimension that share a scale: kernels/quantize.h
  int64_t residual_length = 128;  ///< tokens, at least, before a block's first that its queries see as they are

  static constexpr int64_t kBlock = 128;
  /// Tokens by which a text may be cut and go on as if it had never been longer: drafts that were not taken.
  static constexpr int64_t kMargin = 64;

  /// Of a text of so many tokens, those that the next one sees in 8 bits.
  int64_t rounded(int64_t length) const { return std::max<int64_t>(0, length / kBlock * kBlock - residual_length); }
  /// Tokens of a text that may be needed as they are.
  int64_t recent() const { return residual_length + kBlock + kMargin; }
  /// Most tokens that a text of so many may get in one call, if the calls are to make no difference.
  static int64_t room(int64_t length) { return kBlock - length % kBlock; }

  bool operator==(const CacheQuantization&) const = default;
};

}  // namespace mica
