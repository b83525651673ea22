#pragma once
// The seed of random numbers, as a kernel takes it.

#include <cstdint>

#include "mica/kernels/cuda/device/keywords.h"
#include "mica/kernels/recording.h"

namespace mica::cuda {

/// A number of the host's; in recorded work XOR one that the device's memory holds, so that each replay draws others
/// (RecordingTerms::seed).
class Seed {
 public:
  Seed() = default;
  explicit Seed(uint64_t seed) : seed_(seed) {
    if (const RecordingTerms* terms = recording_terms()) varying_ = terms->seed.as<const uint64_t>();
  }
  __device__ __forceinline__ uint64_t get() const { return varying_ != nullptr ? seed_ ^ *varying_ : seed_; }

 private:
  uint64_t seed_ = 0;
  const uint64_t* varying_ = nullptr;
};

}  // namespace mica::cuda
