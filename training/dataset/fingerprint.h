#pragma once
// Internal: what tells one content from another: 128 bits, as 32 hexadecimal digits. Not for use against forgers.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace mica {

class Fingerprint {
 public:
  Fingerprint& add(std::string_view bytes);  ///< with its length
  Fingerprint& add(int64_t number);
  template <typename T>
  Fingerprint& add_all(std::span<const T> values) {
    return add(std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
  }
  std::string text() const;

 private:
  void mix(uint64_t word);
  uint64_t a_ = 0x9E3779B97F4A7C15U, b_ = 0xC2B2AE3D27D4EB4FU;
};

}  // namespace mica
