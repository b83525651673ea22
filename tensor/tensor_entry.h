#pragma once
// What a file of weights says of one tensor.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mica/kernels/dtype.h"
#include "mica/tensor/shape.h"

namespace mica {

/// One tensor, as its file declares it. Checked: what it shows lies inside the file.
struct TensorEntry {
  std::string name;
  std::string_view type;       ///< the dtype as safetensors spells it: "F32", "BF16", "F6_E2M3"; never dangles
  std::optional<DType> dtype;  ///< none for F4, F6_E2M3, F6_E3M2, F8_E8M0 and C64, of which mica makes no tensors
  Shape shape;
  int64_t offset = 0;  ///< of the first element, in bytes from the start of the file
  int64_t bytes = 0;   ///< of the elements, one after the other
};

}  // namespace mica
