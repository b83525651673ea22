#pragma once
// What the tests of training share: files of reference numbers beside them.

#include <string>

#include "mica/base/json.h"

namespace mica::test {

/// tests/training/data/NAME, made by the script of that name.
inline Json reference(const std::string& name) {
  return read_json_file(std::string(MICA_SOURCE_DIR) + "/tests/training/data/" + name);
}

}  // namespace mica::test
