#pragma once
// Convolutions over the tokens of each text of a ragged batch. Tap k of row r reads row r + k - before of the same
// text; rows outside of it count as zero. before = (kernel_size - 1) / 2 sees both neighbours, kernel_size - 1 the past
// alone.

#include "mica/kernels/attention.h"
#include "mica/kernels/backend.h"

namespace mica {

class ConvolutionKernels {
 public:
  virtual ~ConvolutionKernels() = default;

  // Texts own rows without gaps: Segments without lengths, that begin at row 0 and end at the last.

  /// Each channel has a filter of its own:
  ///   y[r, c] = bias[c] + sum over k of weight[c, k] x[r + k - before, c]
  /// x, y: [rows, channels] of one floating dtype, contiguous; weight [channels, kernel_size] and bias [channels] (may
  /// be empty) of that dtype, contiguous; 0 <= before < kernel_size. Sums run over k in order. `flipped` reads
  /// weight[c, kernel_size - 1 - k] instead, which with before' = kernel_size - 1 - before is the gradient's way back.
  virtual void depthwise(const View& x, const Segments& texts, const View& weight, const View& bias, int64_t before,
                         bool flipped, const View& y) = 0;
  /// dweight[c, k] = sum over r of dy[r, c] x[r + k - before, c], and dbias[c] = sum over r of dy[r, c] (may be empty).
  virtual void depthwise_backward(const View& x, const View& dy, const Segments& texts, int64_t before,
                                  const View& dweight, const View& dbias) = 0;

  /// The taps of each row side by side, as a product with weights [out, channels / groups, kernel_size] wants them:
  ///   y[g, r, i * kernel_size + k] = x[r + k - before, g * part + i],   part = channels / groups
  /// x [rows, channels], y [groups, rows, part * kernel_size], contiguous, of one floating dtype.
  virtual void unfold(const View& x, const Segments& texts, int64_t before, const View& y) = 0;
  /// The gradient of unfold: dx[r, g * part + i] = sum over k of dy[g, r - k + before, i * kernel_size + k].
  virtual void fold(const View& dy, const Segments& texts, int64_t before, const View& dx) = 0;
};

}  // namespace mica
