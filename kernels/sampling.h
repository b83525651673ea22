#pragma once
// The next token of a text from its logits: the likeliest one, or one drawn from the head of the distribution.

#include <cstdint>

#include "mica/kernels/backend.h"

namespace mica {

/// Which tokens may be drawn. Each cut looks at what the one before it left, in this order.
struct SamplingRule {
  bool sample = false;    ///< false: the first largest logit, and nothing below matters
  uint64_t seed = 0;      ///< of the Philox numbers
  float temperature = 1;  ///< logits are divided by it
  int64_t top_k = 0;      ///< keeps the k largest, and those equal to the k-th; 0: all
  float top_p = 1;        ///< keeps the likeliest up to the one that makes their sum reach p, of equal ones the later
  float min_p = -1;       ///< keeps those at least so many times as likely as the likeliest; below 0: all
  constexpr bool cuts() const { return temperature != 1 || top_k > 0 || top_p < 1 || min_p >= 0; }
  bool operator==(const SamplingRule&) const = default;
};

/// In place of a token, where there is none.
enum class NoToken : int64_t {
  all_barred = -1,  ///< every logit is -infinity
  undefined = -2,   ///< one is NaN, or the likeliest is infinite
  infinite = -3,    ///< the likeliest is infinite, and the rule has cuts
};

class SamplingKernels {
 public:
  virtual ~SamplingKernels() = default;
  /// tokens[i] = the token chosen from row i of logits [rows, vocab], float32, rows dense; or a NoToken. A drawn one is
  /// the first whose share of the line [0, 1), laid out by index with a length of its probability among the kept,
  /// reaches beyond u_i: 53 bits of the words indices[i] and indices[i] + 1 of Philox stream streams[i].
  ///
  /// Sums of probabilities are of whole multiples of 2^-52, so that they do not depend on an order. streams, indices
  /// and tokens are int64 [rows], contiguous; indices are even.
  virtual void choose(const View& logits, const SamplingRule& rule, const View& streams, const View& indices,
                      const View& tokens) = 0;
};

}  // namespace mica
