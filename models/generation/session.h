#pragma once
// What decoding strategies see of a model: rows of tokens that grow, and the logits after them.

#include <cstdint>
#include <span>
#include <vector>

#include "mica/kernels/sampling.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// A text for which a token is chosen, and what numbers it is drawn by.
struct RowDraw {
  int64_t source = 0;  ///< the row of the logits
  int64_t sample = 0;  ///< which of its prompt's texts it is
  int64_t step = 0;    ///< new tokens so far
};

/// What generate() asks of a model: a batch of growing token sequences with whatever the model caches for them. For an
/// encoder-decoder the session holds the encoded input, and its rows start empty: the decoder's start token comes
/// first.
class GenerationSession {
 public:
  virtual ~GenerationSession() = default;
  virtual int64_t vocab_size() const = 0;
  virtual int64_t batch() const = 0;              ///< rows (sequences) now
  virtual int64_t length(int64_t row) const = 0;  ///< tokens appended to the row so far
  virtual int64_t max_length() const = 0;         ///< positions the model can hold; a longer row is an error
  /// Which logits append() returns.
  enum class Positions { last, all };
  /// Appends tokens[i] to row i (lengths may differ, none is empty; on an empty session this is the prefill).
  /// Returns float32 logits: last: [batch, vocab], after each row's last token; all: [sum of lengths, vocab], row by
  /// row.
  virtual Tensor append(std::span<const std::vector<int64_t>> tokens, Positions positions) = 0;
  /// Whether append_and_choose() is there: in sessions whose logits would have to be copied to the host.
  virtual bool chooses() const { return false; }
  /// append() for the last positions, where the logits stay: the tokens chosen from them (kernels/sampling.h), one for
  /// each of the texts, or a NoToken.
  virtual std::vector<int64_t> append_and_choose(std::span<const std::vector<int64_t>> tokens, const SamplingRule& rule,
                                                 std::span<const RowDraw> texts);
  /// Row i continues what row rows[i] was; the number of rows may change (beams, several samples a prompt).
  virtual void reorder(std::span<const int64_t> rows) = 0;
  /// Forgets all but the first `length` tokens of a row (assisted decoding).
  virtual void truncate(int64_t row, int64_t length) = 0;
};

}  // namespace mica
