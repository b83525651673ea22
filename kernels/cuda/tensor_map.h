#pragma once
// Tensor maps (device/bulk_copy.h) made on the host.

#include <array>
#include <cstdint>

#include "mica/kernels/cuda/device/bulk_copy.h"
#include "mica/kernels/dtype.h"

namespace mica::cuda {

/// A tensor of 2 to 4 dimensions in device memory, and the box that one copy brings. Fastest dimension first; what lies
/// outside the tensor in a box is zeros.
struct BoxedTensor {
  const char* name;  ///< for errors
  const void* data = nullptr;
  DType dtype = DType::bfloat16;
  int rank = 2;
  std::array<int64_t, 4> sizes{};
  std::array<int64_t, 4> strides{};  ///< in elements; the first is 1
  std::array<int, 4> box{};
  bool swizzled = true;  ///< by 128 bytes, which a row of the box must have then
};

/// Throws Error for what the copying unit does not take: addresses and strides of no 16 bytes, boxes of more than 256.
TensorMap make_tensor_map(const BoxedTensor& tensor);

}  // namespace mica::cuda
