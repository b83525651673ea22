// Any bytes as a safetensors file whose weights may be quantized: an Error, or weights of the shape that was told.

#include <cstring>
#include <string>

#include "mica/base/error.h"
#include "mica/tensor/quantized_weight.h"
#include "mica/tests/fuzz/fuzz.h"

namespace mica::fuzz {
namespace {

void widen(const Checkpoint& checkpoint, const std::string& name) {
  try {
    const auto weight = quantized_weight(checkpoint, name);
    if (!weight) return;
    const Tensor tensor = dequantize(checkpoint, *weight, DType::bfloat16);
    require(tensor.shape() == weight->shape, "a weight has the shape that was told");
    require(tensor.numel() <= 2 * checkpoint.find(weight->values)->bytes, "a byte holds two numbers at most");
  } catch (const Error&) {
  }
}

void open(std::vector<std::byte> bytes) {
  try {
    const SafeTensors file = SafeTensors::from_bytes(std::move(bytes), "fuzz", {.allow_trailing_bytes = true});
    if (file.entries().empty()) return;
    const Checkpoint one =
        Checkpoint::from_index("{\"weight_map\": {\"" + file.entries().front().name + "\": \"a.safetensors\"}}", "fuzz",
                               [&](const std::string&) -> WeightFile { return file; });
    for (const TensorEntry& entry : file.entries()) {
      widen(one, entry.name);
      if (entry.name.ends_with("_blocks")) widen(one, entry.name.substr(0, entry.name.size() - 7));
    }
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace mica::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mica::fuzz::open(mica::fuzz::bytes(data, size));
  return 0;
}
