#pragma once
// The CUDA devices of this machine, for the registry of backends. No header of the toolkit is behind this one.

#include <string>

#include "mica/kernels/backend.h"

namespace mica::cuda {

/// The backend of a device of this machine, made on first use and never destroyed; null when there is none, and then
/// why_no_device() says why.
Backend* cuda_backend(int index);
std::string why_no_device();

}  // namespace mica::cuda
