#pragma once
// A stand-in for cuBLASLt, so that tests see what the backend does around a library.

#include "mica/kernels/cuda/libraries.h"

namespace mica::cuda::emulate {

/// What find_cublaslt() gives from now on, null for none; returns what it gave before.
LibraryProducts* set_library(LibraryProducts* library);

}  // namespace mica::cuda::emulate
