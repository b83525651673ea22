#pragma once
// Where the new tokens of a step go that is recorded: in device memory, so that a replay finds them moved on.

#include "mica/autograd/attention.h"
#include "mica/base/recycled.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Of those layers of a cache that see equally far back, for one token a text.
struct CacheStep {
  Tensor rows;              ///< int64 [texts]: the row of the buffers that a text's new key and value get
  SequenceOffsets offsets;  ///< where its keys lie, the new one included: SequenceOffsets::on_device()
};

/// The same as numbers, of one text.
struct CachePlace {
  int64_t row = 0;     ///< of the new token
  int64_t start = 0;   ///< first row of the text's slot
  int64_t length = 0;  ///< keys, the new one included
};

/// Where a call's new keys and values of a layer go, for whoever writes them there in place of append().
struct CacheTargets {
  /// New rows [from, from + count) go to the rows of the buffers from `to` on.
  struct Run {
    int64_t from = 0, count = 0, to = 0;
  };
  Tensor keys, values;  ///< the buffers, which the layer's queries then read
  Tensor rows;          ///< int64 [new rows], on the device; undefined: `runs` says it
  RecycledVector<Run> runs;
};

}  // namespace mica
