// Any bytes as a file of torch: an Error, or tensors that can be read. The bytes are taken as a whole file, and as the
// pickle of an archive and of a file of before torch 1.6, which most changes to whole files would never reach.

#include <algorithm>
#include <cstring>
#include <string>

#include "mica/base/error.h"
#include "mica/tensor/torch_file.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/tests/support/torch_bytes.h"

namespace mica::fuzz {
namespace {

void check_entry(const TorchFile& file, const TensorEntry& entry, int64_t size) {
  require(file.find(entry.name) == &entry, "a name leads to its entry");
  require(entry.bytes >= 0 && entry.bytes <= size, "a tensor is no larger than its file");
  require(entry.offset >= 0 && entry.offset <= size, "a tensor begins inside the file");
  try {
    const Tensor tensor = file.tensor(entry.name);
    require(tensor.shape() == entry.shape && tensor.dtype() == entry.dtype, "a tensor is what its entry says");
    require(tensor.is_contiguous(), "a tensor is contiguous");
    require(tensor.numel() * item_size(tensor.dtype()) == entry.bytes, "a tensor has the bytes of its entry");
    // Touches every byte, for the sanitizer to see.
    std::vector<std::byte> copy(static_cast<size_t>(entry.bytes));
    if (!copy.empty()) std::memcpy(copy.data(), tensor.raw_data(), copy.size());
  } catch (const Error&) {
    require(!entry.dtype || entry.dtype == DType::boolean, "a tensor of a known dtype can be had");
  }
}

void open(std::vector<std::byte> input) {
  const auto size = static_cast<int64_t>(input.size());
  try {
    const TorchFile file = TorchFile::from_bytes(std::move(input), "fuzz");
    // Copies of repeated elements may each be as large as the file: a hundred of them tell enough.
    const size_t count = std::min<size_t>(file.entries().size(), 100);
    for (size_t i = 0; i < count; ++i) check_entry(file, file.entries()[i], size);
  } catch (const Error&) {
  }
}

void open(const std::string& input) {
  open(bytes(reinterpret_cast<const uint8_t*>(input.data()), input.size()));
}

}  // namespace
}  // namespace mica::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  fuzz::open(fuzz::bytes(data, size));
  const std::string pickle(fuzz::text(data, size));
  if (pickle.starts_with("PK")) return 0;
  // Storages "0" and "1" of 24 and 16 bytes, as the seeds name them.
  const std::string first(24, '\1');
  const std::string second(16, '\0');
  fuzz::open(torch_bytes::archive(pickle, {first, second}));
  const std::string keys = torch_bytes::pickle("](" + torch_bytes::text("0") + torch_bytes::text("1") + "e");
  const std::string counts[] = {torch_bytes::little(int64_t{6}), torch_bytes::little(int64_t{2})};
  fuzz::open(torch_bytes::legacy(pickle, keys, counts[0] + first + counts[1] + second));
  return 0;
}
