#pragma once
// Internal: the two forms in which torch.save puts a pickle and storages into one file.

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "mica/tensor/torch/pickle.h"

namespace mica::torch {

struct Container {
  Pickle pickle;
  std::string pickle_place;  ///< for errors
  /// Where the bytes of each storage begin in the file, for the keys that the pickle names. Each is checked to hold
  /// exactly what the pickle says.
  std::map<std::string_view, int64_t> storages;
};

/// Recognises the form and reads all but the storages. `file` must outlive the result.
Container read_container(std::span<const std::byte> file, const std::string& path);

}  // namespace mica::torch
