#include "mica/tensor/torch_file.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tensor/mapped_tensors.h"
#include "mica/tensor/safetensors_header.h"
#include "mica/tensor/torch/container.h"

namespace mica {
namespace {

using safetensors::place;
using torch::Pickle;
using torch::Value;
using Kind = Value::Kind;

bool is_dict_of_tensors(const Pickle& pickle, const Value& value) {
  if (value.kind != Kind::dict) return false;
  const Pickle::Dict& dict = pickle.dict(value);
  return std::any_of(dict.begin(), dict.end(), [](const auto& item) { return item.second.kind == Kind::tensor; });
}

bool is_wrapper(std::string_view name) {
  return name == "state_dict" || name == "model" || name == "module";
}

// A loss or a count that a training script keeps beside the weights.
bool is_scalar(const Pickle& pickle, const Value& value) {
  return value.kind == Kind::tensor && pickle.tensors[static_cast<size_t>(value.number)].shape.numel() == 1;
}

// What was saved, or the one dict of tensors in it.
const Pickle::Dict& state_dict(const torch::Container& container) {
  const Pickle& pickle = container.pickle;
  const auto fail = [&](const std::string& problem, const char* mend = "save model.state_dict(), a dict of tensors") {
    throw Error(problem, printable(container.pickle_place, 400), mend);
  };
  if (pickle.root.kind != Kind::dict) fail("what was saved is no dict of tensors");
  std::vector<std::pair<std::string_view, const Pickle::Dict*>> inner;
  bool scalars = true;
  for (const auto& [key, value] : pickle.dict(pickle.root)) {
    if (value.kind == Kind::tensor) scalars = scalars && is_scalar(pickle, value);
    if (!is_dict_of_tensors(pickle, value)) continue;
    inner.emplace_back(key.kind == Kind::text ? pickle.text(key) : "a key that is no text", &pickle.dict(value));
  }
  const auto wrapper =
      std::find_if(inner.begin(), inner.end(), [](const auto& each) { return is_wrapper(each.first); });
  if (is_dict_of_tensors(pickle, pickle.root) && (wrapper == inner.end() || !scalars)) {
    if (wrapper != inner.end()) {
      fail("file holds tensors of its own and a dict of tensors, \"" + std::string(wrapper->first) + "\"");
    }
    return pickle.dict(pickle.root);
  }
  if (inner.empty()) fail("what was saved holds no tensors");
  if (inner.size() > 1) {
    fail("file holds several dicts of tensors: \"" + printable(inner[0].first) + "\", \"" + printable(inner[1].first) +
             "\"",
         "save the one that is meant");
  }
  if (wrapper == inner.end()) {
    fail("tensors stand in an inner dict \"" + printable(inner[0].first) +
         "\", not in \"state_dict\", \"model\" or \"module\"");
  }
  return *wrapper->second;
}

}  // namespace

struct TorchFile::Impl {
  using Strides = std::array<int64_t, kMaxRank>;

  Impl(std::string file, std::shared_ptr<const void> bytes_owner, std::byte* bytes, size_t size)
      : path(std::move(file)), owner(std::move(bytes_owner)), data(bytes) {
    const torch::Container container = torch::read_container({data, size}, path);
    const Pickle& pickle = container.pickle;
    for (const auto& [key, value] : state_dict(container)) {
      if (value.kind != Kind::tensor) continue;
      if (key.kind != Kind::text) throw Error("tensor whose name is no text", printable(path, 400), "name it");
      add(std::string(pickle.text(key)), pickle.tensors[static_cast<size_t>(value.number)], container,
          static_cast<int64_t>(size));
    }
    by_name.emplace(entries, path);
  }

  void add(std::string name, const torch::TensorRef& ref, const torch::Container& container, int64_t file_size) {
    TensorEntry entry;
    entry.type = ref.type->spelling;
    entry.dtype = ref.type->dtype;
    entry.shape = ref.shape;
    entry.bytes = ref.shape.numel() * (ref.type->bits / 8);
    entry.offset = container.storages.at(container.pickle.storages[ref.storage].key) + ref.offset;
    // Only a view that repeats elements (by strides of 0) can be so large; its copy would grow without bound.
    if (entry.bytes > file_size) {
      throw Error("tensor " + to_string(entry.shape) + " is larger than its file", place(path, name),
                  "save a contiguous copy of it");
    }
    entry.name = std::move(name);
    entries.push_back(std::move(entry));
    strides.push_back(ref.strides);
  }

  bool contiguous(size_t index) const {
    const Shape& shape = entries[index].shape;
    View view{.rank = shape.rank(), .strides = strides[index]};
    std::copy(shape.begin(), shape.end(), view.shape.begin());
    return view.contiguous();
  }

  std::string path;
  std::shared_ptr<const void> owner;
  std::byte* data;
  std::vector<TensorEntry> entries;
  std::vector<Strides> strides;  // of entries, in elements
  std::optional<NameIndex> by_name;
};

TorchFile TorchFile::open(const std::string& path) {
  std::shared_ptr<MappedFile> file = MappedFile::open(path);
  std::byte* const data = file->data();
  const auto size = static_cast<size_t>(file->size());
  return TorchFile(std::make_shared<const Impl>(path, std::move(file), data, size));
}

TorchFile TorchFile::from_bytes(std::vector<std::byte> bytes, const std::string& where) {
  const auto owned = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  return TorchFile(std::make_shared<const Impl>(where, owned, owned->data(), owned->size()));
}

const std::vector<TensorEntry>& TorchFile::entries() const {
  return impl_->entries;
}

const TensorEntry* TorchFile::find(std::string_view name) const {
  return impl_->by_name->find(name);
}

const std::map<std::string, std::string>& TorchFile::metadata() const {
  static const std::map<std::string, std::string> kMetadata{{"format", "pt"}};
  return kMetadata;
}

const std::string& TorchFile::path() const {
  return impl_->path;
}

Tensor TorchFile::tensor(std::string_view name) const {
  const TensorEntry* const entry = find(name);
  if (entry == nullptr) {
    throw Error("no such tensor", place(path(), name),
                "the file holds " + std::to_string(entries().size()) + " others");
  }
  const auto index = static_cast<size_t>(entry - entries().data());
  std::byte* const bytes = impl_->data + entry->offset;
  if (entry->bytes == 0 || impl_->contiguous(index)) {
    return mapped_tensor(bytes, *entry, impl_->owner, place(path(), name));
  }
  return gathered_tensor(bytes, *entry, impl_->strides[index], place(path(), name));
}

}  // namespace mica
