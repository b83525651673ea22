#pragma once
// Internal: what the readers of weights share. Names lead to entries, and entries to views of the mapped file.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mica/tensor/tensor.h"
#include "mica/tensor/tensor_entry.h"

namespace mica {

/// The entries of one file by their names. `entries` must outlive it and stay where they are.
class NameIndex {
 public:
  /// Throws Error for a name that occurs twice, and for names that were made to collide.
  NameIndex(const std::vector<TensorEntry>& entries, const std::string& file);

  /// The entry of that name, or null.
  const TensorEntry* find(std::string_view name) const;

 private:
  std::unordered_map<std::string_view, const TensorEntry*> by_name_;
};

/// The dtype of an entry; throws Error, naming `where`, when mica has no tensors of it.
DType supported_dtype(const TensorEntry& entry, const std::string& where);

/// A tensor on the CPU of the contiguous elements at `bytes`: a view that keeps `owner` alive, and a copy only where
/// `bytes` is not aligned. Throws Error as supported_dtype does, and for a boolean that is neither 0 nor 1.
Tensor mapped_tensor(std::byte* bytes, const TensorEntry& entry, const std::shared_ptr<const void>& owner,
                     const std::string& where);

/// The same for strides (in elements): always a copy.
Tensor gathered_tensor(const std::byte* bytes, const TensorEntry& entry, const std::array<int64_t, kMaxRank>& strides,
                       const std::string& where);

}  // namespace mica
