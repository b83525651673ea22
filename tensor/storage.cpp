#include "mica/tensor/storage.h"

#include <utility>

#include "mica/base/recycled.h"
#include "mica/kernels/backend.h"

namespace mica {

Storage::Storage(void* data, int64_t bytes, Device device, std::shared_ptr<const void> owner)
    : data_(data), bytes_(bytes), device_(device), owner_(std::move(owner)) {}

std::shared_ptr<Storage> Storage::make(void* data, int64_t bytes, Device device, std::shared_ptr<const void> owner) {
  const auto end = [](Storage* storage) {
    storage->~Storage();
    give_recycled(storage, sizeof(Storage));
  };
  auto* storage = ::new (take_recycled(sizeof(Storage))) Storage(data, bytes, device, std::move(owner));
  return {storage, end, Recycled<Storage>()};
}

std::shared_ptr<Storage> Storage::allocate(int64_t bytes, Device device) {
  auto result = make(nullptr, bytes, device, nullptr);
  if (bytes > 0) result->data_ = backend(device).memory().allocate(bytes);
  return result;
}

std::shared_ptr<Storage> Storage::borrow(void* data, int64_t bytes, std::shared_ptr<const void> owner) {
  return make(data, bytes, Device{}, std::move(owner));
}

Storage::~Storage() {
  if (owner_ == nullptr && data_ != nullptr) backend(device_).memory().free(data_, bytes_);
}

}  // namespace mica
