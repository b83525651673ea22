#pragma once
// The quantization_config of a published folder.

#include "mica/models/config.h"

namespace mica {

/// Takes quantization_config out of a config whose weights are widened as they are read (mxfp4, mxfp8, fp8, fbgemm_fp8
/// and compressed-tensors of float8), so that a saved model says what it is. Throws Error, naming file and method, for
/// other methods.
void read_quantization(Config* config);

}  // namespace mica
