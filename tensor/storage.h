#pragma once
// Memory that tensors share: allocated from a device, or borrowed from an owner such as a mapped file.

#include <cstdint>
#include <memory>

#include "mica/kernels/device.h"

namespace mica {

class Storage {
 public:
  /// Fresh, uninitialised memory of the device.
  static std::shared_ptr<Storage> allocate(int64_t bytes, Device device);
  /// Host memory kept alive by `owner`.
  static std::shared_ptr<Storage> borrow(void* data, int64_t bytes, std::shared_ptr<const void> owner);

  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  bool borrowed() const { return owner_ != nullptr; }

  /// Counts writes in place; whoever keeps something derived from the content (packed weights) compares it.
  uint64_t version() const { return version_; }
  void bump_version() { ++version_; }

 private:
  static std::shared_ptr<Storage> make(void* data, int64_t bytes, Device device, std::shared_ptr<const void> owner);
  Storage(void* data, int64_t bytes, Device device, std::shared_ptr<const void> owner);
  void* data_;
  int64_t bytes_;
  Device device_;
  std::shared_ptr<const void> owner_;
  uint64_t version_ = 0;
};

}  // namespace mica
