#include "mica/tensor/safetensors.h"

#include <cstdint>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tensor/mapped_tensors.h"
#include "mica/tensor/safetensors_header.h"

namespace mica {

using safetensors::place;

struct SafeTensors::Impl {
  Impl(std::string file, std::shared_ptr<const void> bytes_owner, std::byte* bytes, size_t size,
       SafeTensorsOptions options)
      : path(std::move(file)),
        owner(std::move(bytes_owner)),
        data(bytes),
        header(safetensors::parse_header({data, size}, path, options)),
        by_name(header.entries, path) {}

  std::string path;
  std::shared_ptr<const void> owner;
  std::byte* data;
  safetensors::Header header;
  NameIndex by_name;
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
  return impl_->by_name.find(name);
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
  return mapped_tensor(impl_->data + entry->offset, *entry, impl_->owner, place(path(), name));
}

}  // namespace mica
