#pragma once
// Where memory lives and work runs.

#include <cstdint>
#include <string>
#include <string_view>

namespace mica {

enum class DeviceType : uint8_t { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
  bool is_cpu() const { return type == DeviceType::cpu; }
};

/// "cpu", "cuda", "cuda:1".
std::string to_string(Device device);
/// The inverse; throws Error for anything else.
Device device_from_string(std::string_view text);

}  // namespace mica
