#pragma once
// Products by NVIDIA's libraries, where they are found when the program runs (libraries.cu); emulated devices have none
// (emulate/libraries.cpp).
//
// A library's result for a row may depend on how many rows there are, and on which of its algorithms was the fastest
// when a shape first came up. That choice is kept in a file, so that it is the same in the next run. With
// MICA_CUBLASLT=0 in the environment the backend's own kernels do everything, and neither is so.

#include <cstdint>

#include "mica/kernels/cuda/linear_product.h"

namespace mica::cuda {

class LibraryProducts {
 public:
  virtual ~LibraryProducts() = default;
  /// Of the workspace that multiply() is handed.
  static constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
  /// Puts the product on the stream. False when the library has no way to do all of it, and then nothing was done. The
  /// first product of a shape is measured, which waits for the device, unless the stream is being recorded.
  virtual bool multiply(const Product& product, DType factors, Stream stream, void* workspace) = 0;
};

/// cuBLASLt on the current device `index`; null where it can't be opened or MICA_CUBLASLT is 0.
LibraryProducts* find_cublaslt(int index);

}  // namespace mica::cuda
