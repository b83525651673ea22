#pragma once
// What a kernel found wrong with its operands' content. A kernel can't throw: it writes here, goes on with something
// harmless, and the host throws when it next waits for the device.

#include <cstdint>

#include "mica/kernels/cuda/device/keywords.h"

namespace mica::cuda {

enum class FaultKind : uint32_t { none, embedding_index, label, division_by_zero };

/// In memory that host and device share.
struct Fault {
  FaultKind kind = FaultKind::none;
  int64_t value = 0, limit = 0;
};

/// Several threads may report at once; one of their values is named.
__device__ __forceinline__ void report(Fault* fault, FaultKind kind, int64_t value, int64_t limit) {
  fault->value = value;
  fault->limit = limit;
  fault->kind = kind;
}

}  // namespace mica::cuda
