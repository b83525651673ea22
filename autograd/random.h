#pragma once
// Randomness: the generator behind dropout and initialisation, and dropout itself, differentiable.

#include <cstdint>

#include "mica/kernels/random.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Seeds the generator of this thread (dropout, initialisation, sampling). The same seed gives the same numbers on
/// every device and for every number of threads.
void manual_seed(uint64_t seed);

/// Where the next random tensor's numbers come from: a seed, and a stream that no other tensor uses.
struct RandomStream {
  uint64_t seed, stream;
};
RandomStream next_random_stream();

/// Where next_random_stream() of this thread stands, to draw the same numbers again.
RandomStream random_state();
void set_random_state(const RandomStream& state);

Tensor uniform(const Shape& shape, double low, double high, DType dtype = DType::float32, Device device = {});
Tensor normal(const Shape& shape, double mean, double deviation, DType dtype = DType::float32, Device device = {});

/// What a dropout with probability p draws next; nothing for p = 0. Throws Error unless 0 <= p < 1.
Dropout next_dropout(double p);

/// Zeroes each element with probability p and scales the others by 1 / (1 - p); x itself for p = 0.
Tensor dropout(const Tensor& x, double p);
/// dropout(x, p) + residual, in one pass over memory.
Tensor dropout_add(const Tensor& x, const Tensor& residual, double p);

}  // namespace mica
