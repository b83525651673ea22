#include "mica/tensor/safetensors.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <unordered_map>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tensor/safetensors_header.h"

namespace mica {

using safetensors::place;

struct SafeTensors::Impl {
  Impl(std::string file, std::shared_ptr<const void> bytes_owner, std::byte* bytes, size_t size,
       SafeTensorsOptions options)
      : path(std::move(file)),
        owner(std::move(bytes_owner)),
        data(bytes),
        header(safetensors::parse_header({data, size}, path, options)) {
    by_name.reserve(header.entries.size());
    for (const TensorEntry& entry : header.entries) {
      if (!by_name.emplace(entry.name, &entry).second) {
        throw Error("tensor occurs twice", place(path, entry.name), "fetch or save the file again");
      }
      // Names made to share a hash would make this loop, and each look-up, take forever. Chance gives a dozen at most.
      if (by_name.bucket_size(by_name.bucket(entry.name)) > 100) {
        throw Error("names of tensors collide", place(path, entry.name), "the file is hostile: do not use it");
      }
    }
  }

  std::string path;
  std::shared_ptr<const void> owner;
  std::byte* data;
  safetensors::Header header;
  std::unordered_map<std::string_view, const TensorEntry*> by_name;
};

SafeTensors SafeTensors::open(const std::string& path, SafeTensorsOptions options) {
  std::shared_ptr<MappedFile> file = MappedFile::open(path);
  std::byte* const data = file->data();
  const auto size = static_cast<size_t>(file->size());
  return SafeTensors(std::make_shared<const Impl>(path, std::move(file), data, size, options));
}

SafeTensors SafeTensors::from_bytes(std::vector<std::byte> bytes, const std::string& where,
                                    SafeTensorsOptions options) {
  const auto owned = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  return SafeTensors(std::make_shared<const Impl>(where, owned, owned->data(), owned->size(), options));
}

const std::vector<TensorEntry>& SafeTensors::entries() const {
  return impl_->header.entries;
}

const TensorEntry* SafeTensors::find(std::string_view name) const {
  const auto it = impl_->by_name.find(name);
  return it == impl_->by_name.end() ? nullptr : it->second;
}

const std::map<std::string, std::string>& SafeTensors::metadata() const {
  return impl_->header.metadata;
}

const std::string& SafeTensors::path() const {
  return impl_->path;
}

Tensor SafeTensors::tensor(std::string_view name) const {
  const TensorEntry* const entry = find(name);
  if (entry == nullptr) {
    throw Error("no such tensor", place(path(), name),
                "the file holds " + std::to_string(entries().size()) + " others");
  }
  if (!entry->dtype) {
    throw Error("dtype " + std::string(entry->type) + " is not supported", place(path(), name),
                "convert the checkpoint to a common dtype such as BF16");
  }
  std::byte* const bytes = impl_->data + entry->offset;
  // A bool of any other value is undefined behaviour wherever it is read.
  if (entry->dtype == DType::boolean &&
      !std::all_of(bytes, bytes + entry->bytes, [](std::byte b) { return b <= std::byte{1}; })) {
    throw Error("BOOL tensor holds bytes other than 0 and 1", place(path(), name), "fetch or save the file again");
  }
  if (reinterpret_cast<uintptr_t>(bytes) % static_cast<uintptr_t>(item_size(*entry->dtype)) == 0) {
    return {Storage::borrow(bytes, entry->bytes, impl_->owner), 0, entry->shape, *entry->dtype};
  }
  Tensor copy = Tensor::empty(entry->shape, *entry->dtype);
  if (entry->bytes > 0) std::memcpy(copy.raw_data(), bytes, static_cast<size_t>(entry->bytes));
  return copy;
}

}  // namespace mica
