#pragma once
// What a Split looks for: a string, or a regular expression as tokenizer files write them.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mica/base/json.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {

/// A compiled pattern. Matching from several threads is safe.
class Pattern {
 public:
  /// Reads {"String": "..."} or {"Regex": "..."} at `key`, the expression in Oniguruma's dialect. Throws Error for one
  /// that does not compile or uses what this version does not know.
  static Pattern read(Fields& fields, const char* key);

  /// Calls found(begin, end) for each match in `text` (valid UTF-8), in order, in bytes. An empty match counts unless
  /// it touches the match before it. Throws Error when a regular expression needs more steps on this text than any
  /// sensible one does.
  void find(std::string_view text, const std::function<void(size_t begin, size_t end)>& found) const;
  Json to_json() const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace mica
