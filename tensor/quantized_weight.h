#pragma once
// Weights that files hold in 4 or 8 bits, with scales in tensors of their own beside them, widened as they are read.
//
//   MXFP4 (OCP Microscaling Formats 1.0): "x_blocks", uint8 [experts, out, in / 32, 16], two E2M1 numbers a byte, the
//     lower half first, and "x_scales", uint8 [experts, out, in / 32], powers of two with a bias of 127. The weight "x"
//     is [experts, in, out].
//   float8: "x" in E4M3 or E5M2, [out, in] or [experts, out, in], and "x_scale_inv" or "x_scale": what its numbers are
//     multiplied with, a number for all, for each row, or for each block of rows and columns; uint8: exponents (MXFP8).

#include <optional>
#include <string>
#include <vector>

#include "mica/tensor/checkpoint.h"
#include "mica/tensor/tensor.h"

namespace mica {

struct QuantizedWeight {
  enum class Kind { mxfp4, float8 };
  Kind kind = Kind::mxfp4;
  std::string values, scales;  ///< the names of the two tensors
  std::vector<std::string>
      unused{};  ///< tensors beside them of which a widened weight has no use: scales of activations
  Shape shape;   ///< of the weight
};

/// How the checkpoint holds the weight of that name; nothing where it lacks it or has no scales for it. Throws Error,
/// naming the tensor, for values and scales that do not fit each other.
std::optional<QuantizedWeight> quantized_weight(const Checkpoint& checkpoint, const std::string& name);

/// The weight on the host, as float32 or bfloat16 (which holds MXFP4 exactly, but for the ends of its range).
Tensor dequantize(const Checkpoint& checkpoint, const QuantizedWeight& weight, DType dtype);

}  // namespace mica
