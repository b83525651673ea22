#pragma once
// The weights of a model: which files hold them, in either format, and which file holds which name.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mica/tensor/safetensors.h"
#include "mica/tensor/tensor.h"
#include "mica/tensor/torch_file.h"

namespace mica {

/// One open file of weights.
using WeightFile = std::variant<SafeTensors, TorchFile>;

/// The weights of a model: one file, or the shards that an index names.
///
/// An index maps each tensor's name to the shard that holds it: {"weight_map": {"encoder.weight":
/// "model-00001-of-00002.safetensors", ...}}. Its "metadata" (a total size, which published files often get wrong) is
/// not used. Shard names must be plain file names; symbolic links are followed, for the hub's cache is made of them.
/// Every name of the index must be in its shard, and no name in two shards. Names that a shard holds but the index
/// lacks are kept, as the reference keeps them: whoever loads a model reports them as unexpected.
class Checkpoint {
 public:
  /// A folder (the first that it has of model.safetensors, model.safetensors.index.json, pytorch_model.bin and
  /// pytorch_model.bin.index.json), or a file: an index ending in .index.json, a file of torch ending in .bin, .pt,
  /// .pth or .ckpt, or a safetensors file of any other name. Throws Error when there are no weights or they are
  /// malformed.
  static Checkpoint open(const std::string& path, SafeTensorsOptions options = {});
  /// An index that is already in memory: `open_shard` is called once for each file name in it. `where` stands for the
  /// index's path in errors.
  static Checkpoint from_index(std::string_view index_json, const std::string& where,
                               const std::function<WeightFile(const std::string& file)>& open_shard);

  /// The names of all tensors, file after file in the order of files(), within a file in the order
  /// of its entries.
  const std::vector<std::string_view>& names() const;
  /// The entry of that name, or null.
  const TensorEntry* find(std::string_view name) const;
  /// As SafeTensors::tensor or TorchFile::tensor.
  Tensor tensor(std::string_view name) const;
  /// The metadata of the first file.
  const std::map<std::string, std::string>& metadata() const;
  /// The paths of the opened files of tensors.
  std::vector<std::string> files() const;

 private:
  struct Impl;
  explicit Checkpoint(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  static Checkpoint from_shards(std::vector<WeightFile> shards);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace mica
