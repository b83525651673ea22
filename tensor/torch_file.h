#pragma once
// Weights on disk as torch.save writes them: pytorch_model.bin, *.pt, *.pth. checkpoint.h opens whole models.
//
// A file holds a pickle, which names tensors as strided views of storages, and the storages' bytes. Since torch 1.6 it
// is a zip archive (ARCHIVE/data.pkl, ARCHIVE/data/0, ...), stored and aligned so that it can be mapped; before, the
// storages followed the pickle. Both are read; the tar form of before torch 0.1.10 is refused.
//
// A pickle is a program, and Python runs it. mica does not: it is read by a closed machine (torch/pickle.h) that knows
// what tensors, their containers and plain data need and refuses everything else with an Error that names the opcode or
// the global, and the byte where it stands. Nothing else in the file is trusted either: archives whose entries overlap,
// repeat or are compressed, tensors that reach beyond their storage, storages that are not the size the pickle says,
// counts out of bounds, big-endian files.
//
// What is saved must be a dict of tensors, or a dict in which the only dict of tensors is one called "state_dict",
// "model" or "module", as training scripts save them. Its other entries (steps, settings, "_metadata") are skipped.

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tensor/tensor.h"
#include "mica/tensor/tensor_entry.h"

namespace mica {

/// One open file of torch. A handle: copies share the mapping. All methods may be called from several threads.
class TorchFile {
 public:
  /// Maps the file and reads its pickle; throws Error when the file cannot be read, is malformed or holds more than
  /// weights and plain data.
  static TorchFile open(const std::string& path);
  /// The same for a file that is already in memory; `where` stands for its path in errors.
  static TorchFile from_bytes(std::vector<std::byte> bytes, const std::string& where);

  /// All tensors, in the order in which they were saved.
  const std::vector<TensorEntry>& entries() const;
  /// The entry of that name, or null. Takes the same short time however many tensors there are.
  const TensorEntry* find(std::string_view name) const;
  /// A contiguous tensor on the CPU. Where the saved one is contiguous and its bytes are aligned, it shows the file's
  /// bytes without copying them, and two tensors that shared a storage still do; else it is a copy. Throws Error for a
  /// name that the file lacks, for a dtype that mica has no tensors of, and for a boolean that is neither 0 nor 1.
  Tensor tensor(std::string_view name) const;
  /// {"format": "pt"}: as transformers marks its safetensors files.
  const std::map<std::string, std::string>& metadata() const;
  const std::string& path() const;

 private:
  struct Impl;
  explicit TorchFile(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace mica
