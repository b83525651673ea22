// config.json: reading, and every number a family takes from it. Networks are built only where they are tiny, so that
// a hostile size shows as an Error or not at all, never as an allocation.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mica/base/error.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"
#include "mica/models/auto/table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  try {
    const Config config =
        AutoConfig::from_json(std::string_view(reinterpret_cast<const char*>(data), size), "fuzzed config.json");
    config.labels();
    config.to_json();
    const Family& family = family_of(config.model_type.value());
    const EncoderSpec spec = family.spec(config);
    const bool tiny = spec.vocab_size <= 64 && spec.hidden_size <= 32 && spec.embedding_size <= 32 &&
                      spec.intermediate_size <= 64 && spec.max_position_embeddings <= 64 &&
                      spec.type_vocab_size <= 16 && spec.task_type_vocab_size <= 16 && spec.relative_buckets <= 64 &&
                      spec.layer_names.size() <= 4;
    if (!tiny) return 0;
    const Model model = Model::from_config(config, Task::base);
    ModelInputs inputs;
    inputs.input_ids = Tensor::zeros({1, 2}, DType::int64);
    const NoGrad no_grad;
    model(inputs);
  } catch (const Error&) {
  }
  return 0;
}
