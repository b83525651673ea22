#pragma once
// Scans along the rows of each text of a ragged batch: the linear recurrences that gated recurrent layers and state
// space models are made of (Martin and Cundy 2018, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length").

#include "mica/kernels/attention.h"
#include "mica/kernels/backend.h"

namespace mica {

class ScanKernels {
 public:
  virtual ~ScanKernels() = default;

  // Texts own rows without gaps: Segments without lengths, that begin at row 0 and end at the last. a, b, h and their
  // gradients: [rows, channels] of one floating dtype, contiguous. initial: [texts, channels]; empty: zeros. States are
  // kept in float32 at least while rows are walked. Some backends compose the steps of several rows, so that products
  // of a over eight rows should be finite: as they are wherever |a| is at most 1.

  /// h[r, c] = a[r, c] h[r - 1, c] + b[r, c]; the row before a text's first is initial[text, c]. h may be b.
  virtual void linear(const View& a, const View& b, const View& initial, const Segments& texts, const View& h) = 0;
  /// From dh, with g[r, c] = dh[r, c] + a[r + 1, c] g[r + 1, c] (the second term within the text only):
  ///   db = g;   da[r, c] = g[r, c] h[r - 1, c];   dinitial[text, c] = a[first, c] g[first, c], 0 of a text without
  ///   rows
  /// dinitial may be empty; db may be dh.
  virtual void linear_backward(const View& a, const View& h, const View& initial, const View& dh, const Segments& texts,
                               const View& da, const View& db, const View& dinitial) = 0;
};

}  // namespace mica
