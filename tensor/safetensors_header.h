#pragma once
// Internal: the header of a safetensors file, read and checked. The interface is safetensors.h.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tensor/safetensors.h"

namespace mica::safetensors {

/// A dtype of the format. The table's order is the format's own: writers put tensors of later rows first.
struct TypeInfo {
  std::string_view spelling;
  int bits;
  std::optional<DType> dtype;
};
std::span<const TypeInfo> types();
/// The row of that spelling, or null.
const TypeInfo* find_type(std::string_view spelling);
/// The row of a dtype; every DType has one.
const TypeInfo& type_of(DType dtype);

struct Header {
  std::vector<TensorEntry> entries;  ///< sorted by offset
  std::map<std::string, std::string> metadata;
};

/// Checks everything that can be checked without reading tensors, but for names that occur twice.
Header parse_header(std::span<const std::byte> file, const std::string& where, SafeTensorsOptions options);

/// `FILE, tensor "NAME"`, for errors.
std::string place(const std::string& file, std::string_view tensor);

}  // namespace mica::safetensors
