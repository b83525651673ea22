// Any bytes as JSON: an Error, or a value that is written and read back as it is.

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mica::Json value;
  try {
    value = mica::parse_json(mica::fuzz::text(data, size), "fuzz", {.max_depth = 32, .max_values = 10'000});
  } catch (const mica::Error&) {
    return 0;
  }
  const std::string text = mica::dump_json(value);
  const mica::Json again = mica::parse_json(text, "written by mica");
  mica::fuzz::require(mica::dump_json(again) == text, "what is written is read back");
  return 0;
}
