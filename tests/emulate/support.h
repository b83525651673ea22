#pragma once
// What the tests of emulation share: arrays in the emulated device's memory, and kernels started on them.

#include <cstdint>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/launch.h"
#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda::test {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressesChecked = true;
#else
constexpr bool kAddressesChecked = false;
#endif

/// n elements in device memory, at first bytes 0xff.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t n) : n_(n), data_(device_allocate(bytes())) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(static_cast<int64_t>(values.size())) {
    copy_from_host(data_, values.data(), bytes(), nullptr);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { device_free(data_); }

  T* data() const { return static_cast<T*>(data_); }
  int64_t size() const { return n_; }
  std::vector<T> values() const {
    std::vector<T> host(static_cast<size_t>(n_));
    copy_to_host(host.data(), data_, bytes(), nullptr);
    return host;
  }

 private:
  int64_t bytes() const { return n_ * static_cast<int64_t>(sizeof(T)); }
  int64_t n_;
  void* data_;
};

/// Runs body with each of several orders of threads.
template <typename Body>
void for_seeds(const Body& body, uint64_t seeds = 8) {
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    emulate::set_seed(seed);
    body();
  }
  emulate::set_seed(1);
}

/// The message of the Error that body throws; empty when it throws none.
template <typename Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace mica::cuda::test
