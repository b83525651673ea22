#include "mica/tensor/storage.h"

#include <utility>

#include "mica/kernels/backend.h"

namespace mica {

Storage::Storage(void* data, int64_t bytes, Device device, std::shared_ptr<const void> owner)
    : data_(data), bytes_(bytes), device_(device), owner_(std::move(owner)) {}

std::shared_ptr<Storage> Storage::allocate(int64_t bytes, Device device) {
  void* data = bytes > 0 ? backend(device).memory().allocate(bytes) : nullptr;
  return std::shared_ptr<Storage>(new Storage(data, bytes, device, nullptr));
}

std::shared_ptr<Storage> Storage::borrow(void* data, int64_t bytes, std::shared_ptr<const void> owner) {
  return std::shared_ptr<Storage>(new Storage(data, bytes, Device{}, std::move(owner)));
}

Storage::~Storage() {
  if (owner_ == nullptr && data_ != nullptr) backend(device_).memory().free(data_, bytes_);
}

}  // namespace mica
