#pragma once
// What may come next: a grammar, a schema or an expression seen token by token.

#include <cstdint>
#include <memory>
#include <span>

namespace mica {

/// The state of one growing text under a rule. generate() asks for the mask before each token, after the logits
/// processors, and tells the token that was chosen. A beam that branches clones its constraint.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  /// Clears the bits of the tokens that may not come next; token t is bit t % 64 of word t / 64, and all bits are set
  /// before the call. The end tokens are tokens like the others: their bits stay where the text may end here.
  virtual void mask(std::span<uint64_t> allowed_bits) = 0;
  /// The token that comes next, one that mask() allowed. Also called with an end token.
  virtual void advance(int64_t token) = 0;
  virtual std::unique_ptr<TokenConstraint> clone() const = 0;
  /// The text is whole and cannot go on: the row stops here, with or without an end token.
  virtual bool finished() const = 0;
};

}  // namespace mica
