// Any bytes as generation_config.json, and as the settings in a config.json: read, checked, written and read again.

#include "mica/base/error.h"
#include "mica/models/config.h"
#include "mica/models/generation/generation_config.h"
#include "mica/tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using mica::GenerationConfig;
  try {
    const GenerationConfig config = GenerationConfig::from_json(mica::fuzz::text(data, size), "fuzz");
    const std::string text = config.to_json();
    mica::fuzz::require(GenerationConfig::from_json(text).to_json() == text, "what is written reads the same");
    mica::fuzz::require(config.with({}).to_json() == text, "nothing changes nothing");
    config.resolved().validate();
  } catch (const mica::Error&) {
  }
  try {
    GenerationConfig::from_model_config(mica::Config::from_json(mica::fuzz::text(data, size), "fuzz")).validate();
  } catch (const mica::Error&) {
  }
  return 0;
}
