#pragma once
// Many tensors in one parallel loop: each is cut into chunks of one size, and threads share the chunks of all.

#include <algorithm>
#include <cstdint>

#include "mica/kernels/cpu/support.h"

namespace mica::cpu {

/// Calls body(item, chunk of the item, number of the chunk among all) in parallel for the chunks of `items` items, of
/// which item i has chunks(i). What a chunk is depends on nothing but the items, so that a chunk's number can say where
/// its part of a sum goes. `together`: chunks that are worth a thread. Returns the number of chunks.
template <typename Chunks, typename Body>
int64_t for_chunks(int64_t items, int64_t together, const Chunks& chunks, const Body& body) {
  int64_t* first = scratch<int64_t>(Scratch::parameter_a, items + 1);
  first[0] = 0;
  for (int64_t i = 0; i < items; ++i) first[i + 1] = first[i] + chunks(i);
  parallel_for(first[items], together, [&](int64_t begin, int64_t end) {
    int64_t item = std::upper_bound(first, first + items + 1, begin) - first - 1;
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      while (chunk >= first[item + 1]) ++item;
      body(item, chunk - first[item], chunk);
    }
  });
  return first[items];
}

}  // namespace mica::cpu
