#pragma once
// Internal: the globals that a file of weights may name. The list is closed.

#include <cstdint>
#include <string_view>

#include "mica/tensor/safetensors_header.h"

namespace mica::torch {

struct Global {
  enum class What : uint8_t {
    ordered_dict,
    size,
    plain,  ///< makes something that has no bearing on weights
    rebuild_tensor,
    rebuild_tensor_v2,
    rebuild_tensor_v3,
    rebuild_parameter,
    rebuild_parameter_with_state,
    storage_type,
    dtype,
  };
  std::string_view module, name;
  What what;
  std::string_view type;  ///< of a storage or a dtype, as safetensors spells it; empty for untyped storage
};

/// Null for every global that is not on the list.
const Global* find_global(std::string_view module, std::string_view name);
/// The global with that number, for values that hold it as one.
const Global& global_at(int64_t number);
int64_t number_of(const Global& global);

}  // namespace mica::torch
