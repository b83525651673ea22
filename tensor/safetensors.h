#pragma once
// Weights on disk: the safetensors format. checkpoint.h opens whole models.
//
// A file is an 8-byte little-endian length, a JSON header of that length, and the tensors' bytes one after the other:
//   {"__metadata__": {"format": "pt"}, "encoder.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
//
// Files are mapped, never read as a whole: opening costs the header, and a tensor is a view of the mapping. The mapping
// is private: writing to such a tensor changes this process's copy of the page and never the file. It lives as long as
// any tensor of it does. (Replacing a file by a rename, as mica and the hub's tools do, is safe while it is open; a
// program that cuts an open file short takes its pages away, and reading them then ends the process.)
//
// Nothing in a file is trusted. Refused, with an Error that names the file and the tensor: a header larger than 100 MB
// or than the file, or that does not start with "{"; a key that occurs twice or is unknown; an unknown dtype; numbers
// that are not unsigned integers; more than 8 dimensions; sizes that overflow; a size that is not dtype x shape;
// tensors that overlap or leave holes; a last tensor that does not end where the file ends.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tensor/tensor.h"
#include "mica/tensor/tensor_entry.h"

namespace mica {

struct SafeTensorsOptions {
  /// Accept bytes after the last tensor. Some published files end in a few stray ones; the format forbids them, since
  /// they may as well be the sign of a file that was glued together, or hide a second file inside the first.
  bool allow_trailing_bytes = false;
};

/// One open safetensors file. A handle: copies share the mapping. All methods may be called from several threads.
class SafeTensors {
 public:
  /// Maps the file and checks its header; throws Error when the file cannot be read or is malformed.
  static SafeTensors open(const std::string& path, SafeTensorsOptions options = {});
  /// The same for a file that is already in memory; `where` stands for its path in errors.
  static SafeTensors from_bytes(std::vector<std::byte> bytes, const std::string& where,
                                SafeTensorsOptions options = {});

  /// All tensors, in the order of their bytes.
  const std::vector<TensorEntry>& entries() const;
  /// The entry of that name, or null. Takes the same short time however many tensors there are.
  const TensorEntry* find(std::string_view name) const;
  /// A tensor on the CPU that shows the file's bytes without copying them. Only where the file's offset is not a
  /// multiple of the item size is it a copy. Two calls give tensors that share the bytes. Throws Error for a name
  /// that the file lacks, for a dtype that mica has no tensors of, and for a BOOL tensor with bytes other than 0 and 1.
  Tensor tensor(std::string_view name) const;
  /// The header's "__metadata__", empty where there is none.
  const std::map<std::string, std::string>& metadata() const;
  const std::string& path() const;

 private:
  struct Impl;
  explicit SafeTensors(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Writes one file, byte for byte as the Python library writes it: larger dtypes first, then by name. Tensors may be
/// strided; those on a device are copied to the host piece by piece. The file appears whole or not at all: on failure
/// (Error: a full disk, a name that occurs twice or is not UTF-8, an undefined tensor) a previous file stays as it was.
void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

inline constexpr int64_t kMaxShardBytes = 5'000'000'000;

/// Writes a model's weights into a folder (made where missing): model.safetensors or, when they exceed
/// `max_shard_bytes`, shards model-00001-of-0000N.safetensors with model.safetensors.index.json. A tensor is never
/// split: a larger one gets a shard of its own. Tensors keep their order over the shards.
///
/// A previous save in the folder is replaced as a whole: whatever fails and whenever the process dies, the folder opens
/// either as it was or as it shall be. Its files are removed when the new ones are in place.
void save_checkpoint(const std::string& folder, const NamedTensors& tensors,
                     const std::map<std::string, std::string>& metadata = {{"format", "pt"}},
                     int64_t max_shard_bytes = kMaxShardBytes);

}  // namespace mica
