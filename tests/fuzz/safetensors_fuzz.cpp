// Any bytes as a safetensors file: an Error, or tensors that tile the file and can be read.

#include <algorithm>
#include <cstring>

#include "mica/base/error.h"
#include "mica/tensor/safetensors.h"
#include "mica/tests/fuzz/fuzz.h"

namespace mica::fuzz {
namespace {

void check_entry(const SafeTensors& file, const TensorEntry& entry) {
  require(file.find(entry.name) == &entry, "a name leads to its entry");
  try {
    const Tensor tensor = file.tensor(entry.name);
    require(tensor.shape() == entry.shape && tensor.dtype() == entry.dtype, "a tensor is what its entry says");
    require(tensor.numel() * item_size(tensor.dtype()) == entry.bytes, "a tensor has the bytes of its entry");
    // Touches every byte, for the sanitizer to see.
    std::vector<std::byte> copy(static_cast<size_t>(entry.bytes));
    if (!copy.empty()) std::memcpy(copy.data(), tensor.raw_data(), copy.size());
  } catch (const Error&) {
    require(!entry.dtype || entry.dtype == DType::boolean, "a tensor of a known dtype can be had");
  }
}

void open(std::vector<std::byte> bytes, bool allow_trailing_bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  try {
    const SafeTensors file =
        SafeTensors::from_bytes(std::move(bytes), "fuzz", {.allow_trailing_bytes = allow_trailing_bytes});
    const std::vector<TensorEntry>& entries = file.entries();
    int64_t next = entries.empty() ? size : entries.front().offset;
    for (const TensorEntry& entry : entries) {
      require(entry.offset == next && entry.bytes >= 0, "tensors tile the file");
      next += entry.bytes;
      check_entry(file, entry);
    }
    require(next == size || allow_trailing_bytes, "tensors end where the file ends");
    require(next <= size, "tensors end inside the file");
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace mica::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica::fuzz;
  std::vector<std::byte> input = bytes(data, size);
  open(input, false);
  // Most changes make the length wrong and end there. So that the header is read too, the length is set right: the
  // header ends with the last brace.
  const auto brace = std::find(input.rbegin(), input.rend(), std::byte{'}'}).base() - input.begin();
  if (brace > 8) {
    const uint64_t length = static_cast<uint64_t>(brace) - 8;
    std::memcpy(input.data(), &length, sizeof(length));
    open(std::move(input), true);
  }
  return 0;
}
