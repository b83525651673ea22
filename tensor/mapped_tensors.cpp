#include "mica/tensor/mapped_tensors.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "mica/base/error.h"
#include "mica/tensor/safetensors_header.h"

namespace mica {
namespace {

// A bool of any other value is undefined behaviour wherever it is read.
void check_booleans(const std::byte* bytes, const TensorEntry& entry, const std::string& where) {
  if (entry.dtype == DType::boolean &&
      !std::all_of(bytes, bytes + entry.bytes, [](std::byte b) { return b <= std::byte{1}; })) {
    throw Error("BOOL tensor holds bytes other than 0 and 1", where, "fetch or save the file again");
  }
}

// Copies the elements of dimensions `dim` and on, in row-major order; returns the end of what it wrote.
std::byte* gather(const std::byte* from, std::byte* to, const Shape& shape,
                  const std::array<int64_t, kMaxRank>& strides, int dim, int64_t item) {
  if (dim == shape.rank()) {
    std::memcpy(to, from, static_cast<size_t>(item));
    return to + item;
  }
  const int64_t step = strides[static_cast<size_t>(dim)] * item;
  const int64_t count = shape[dim];
  if (dim == shape.rank() - 1 && step == item) {
    std::memcpy(to, from, static_cast<size_t>(count * item));
    return to + count * item;
  }
  for (int64_t i = 0; i < count; ++i) to = gather(from + i * step, to, shape, strides, dim + 1, item);
  return to;
}

}  // namespace

NameIndex::NameIndex(const std::vector<TensorEntry>& entries, const std::string& file) {
  by_name_.reserve(entries.size());
  for (const TensorEntry& entry : entries) {
    if (!by_name_.emplace(entry.name, &entry).second) {
      throw Error("tensor occurs twice", safetensors::place(file, entry.name), "fetch or save the file again");
    }
    // Names made to share a hash would make this loop, and each look-up, take forever. Chance gives a dozen at most.
    if (by_name_.bucket_size(by_name_.bucket(entry.name)) > 100) {
      throw Error("names of tensors collide", safetensors::place(file, entry.name),
                  "the file is hostile: do not use it");
    }
  }
}

const TensorEntry* NameIndex::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

DType supported_dtype(const TensorEntry& entry, const std::string& where) {
  if (entry.dtype) return *entry.dtype;
  throw Error("dtype " + std::string(entry.type) + " is not supported", where,
              "convert the checkpoint to a common dtype such as BF16");
}

Tensor mapped_tensor(std::byte* bytes, const TensorEntry& entry, const std::shared_ptr<const void>& owner,
                     const std::string& where) {
  const DType dtype = supported_dtype(entry, where);
  check_booleans(bytes, entry, where);
  if (reinterpret_cast<uintptr_t>(bytes) % static_cast<uintptr_t>(item_size(dtype)) == 0) {
    return {Storage::borrow(bytes, entry.bytes, owner), 0, entry.shape, dtype};
  }
  Tensor copy = Tensor::empty(entry.shape, dtype);
  if (entry.bytes > 0) std::memcpy(copy.raw_data(), bytes, static_cast<size_t>(entry.bytes));
  return copy;
}

Tensor gathered_tensor(const std::byte* bytes, const TensorEntry& entry, const std::array<int64_t, kMaxRank>& strides,
                       const std::string& where) {
  const DType dtype = supported_dtype(entry, where);
  Tensor copy = Tensor::empty(entry.shape, dtype);
  if (entry.bytes == 0) return copy;
  auto* const data = static_cast<std::byte*>(copy.raw_data());
  gather(bytes, data, entry.shape, strides, 0, item_size(dtype));
  check_booleans(data, entry, where);
  return copy;
}

}  // namespace mica
