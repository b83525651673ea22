#include "mica/kernels/device.h"

#include "mica/base/error.h"

namespace mica {

std::string to_string(Device device) {
  if (device.is_cpu()) return "cpu";
  return "cuda:" + std::to_string(device.index);
}

Device device_from_string(std::string_view text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {DeviceType::cuda, 0};
  if (text.starts_with("cuda:") && text.size() > 5 && text.size() <= 8) {
    int index = 0;
    bool digits = true;
    for (const char c : text.substr(5)) {
      digits = digits && c >= '0' && c <= '9';
      index = index * 10 + (c - '0');
    }
    if (digits) return {DeviceType::cuda, index};
  }
  throw Error("unknown device \"" + printable(text) + "\"", "device", "use cpu, cuda or cuda:N");
}

}  // namespace mica
