#pragma once
// The warpgroup's matrix unit: products that run beside the threads, in groups, reading shared memory by descriptors.
//
// A warp's 16 rows of a product are computed when it starts or when the warp waits for it, by the seed; until the warp
// has waited its sums are NaN.

#include <cstdint>

#include "mica/kernels/cuda/emulate/machine.h"

namespace mica::cuda::emulate {

/// What one lane brings to a product [64, n] += [64, 16] [16, n] of 16-bit factors.
struct Product {
  float* sums;        ///< n / 2 registers
  const uint32_t* a;  ///< four registers, or null: a lies in shared memory
  uint64_t a_matrix, b_matrix;
  bool a_transposed, b_transposed;  ///< the depth does not run along memory
  bool add;                         ///< false: sums start at 0
  unsigned n;
  float (*widen)(uint16_t);
};

void start_product(const Product& lane, Line line);
/// Registers that products read and add to are as the threads left them.
void fence_products(Line line);
void commit_products(Line line);
/// Until at most so many of the warp's groups are under way.
void wait_products(unsigned groups_left, Line line);

/// Gives this thread's warpgroup so many registers a thread; a multiprocessor has 65536.
void set_registers(unsigned count, Line line);

}  // namespace mica::cuda::emulate
