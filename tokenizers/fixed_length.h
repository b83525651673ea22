#pragma once
// FixedLength: pieces of so many characters each.

#include <cstdint>

#include "mica/tokenizers/pretokenizers.h"

namespace mica {

class FixedLength : public PreTokenizer {
 public:
  /// `length` is 1 or more.
  explicit FixedLength(int64_t length) : length_(length) {}
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  Json to_json() const override { return {{"type", "FixedLength"}, {"length", length_}}; }

 private:
  int64_t length_;
};

}  // namespace mica
