// config.json: reading, and every number a family takes from it. Networks are built only where they are tiny, so that
// a hostile size shows as an Error, never as an allocation.

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
    const Task task = family.has(Task::causal_lm) ? Task::causal_lm : family.tasks.front();
    const Model model = Model::from_config(config, task, {.max_parameters = 40'000});
    ModelInputs inputs;
    inputs.input_ids = Tensor::zeros({1, 2}, DType::int64);
    if (family.has(Task::seq2seq_lm)) inputs.decoder_input_ids = inputs.input_ids;
    const NoGrad no_grad;
    model(inputs);
  } catch (const Error&) {
  }
  return 0;
}
