#include "mica/models/auto/quantization.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "mica/base/error.h"

namespace mica {

void read_quantization(Config* config) {
  if (!config->has("quantization_config")) return;
  const Config settings = config->object("quantization_config");
  const std::string method = settings.text("quant_method", "");
  const std::string format = settings.text("format", "");
  constexpr std::array<std::string_view, 4> kWidened = {"mxfp4", "mxfp8", "fp8", "fbgemm_fp8"};
  const bool widened = std::find(kWidened.begin(), kWidened.end(), method) != kWidened.end() ||
                       (method == "compressed-tensors" && (format == "float-quantized" || format == "naive-quantized"));
  if (!widened) {
    throw Error("weights quantized by \"" + printable(method, 60) + "\"" +
                    (format.empty() ? "" : ", format \"" + printable(format, 60) + "\","),
                config->where(),
                "only mxfp4, mxfp8, fp8, fbgemm_fp8 and compressed-tensors of float8 are supported; use "
                "the model's folder of bfloat16 weights");
  }
  config->remove("quantization_config");
}

}  // namespace mica
