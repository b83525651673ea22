#pragma once
// Sets of characters, and the byte sequences that spell them.

#include <array>
#include <cstdint>
#include <vector>

namespace mica::constraint_detail {

struct ByteRange {
  uint8_t first = 0, last = 0;
  auto operator<=>(const ByteRange&) const = default;
};

/// A set of Unicode scalar values (code points without the surrogates).
class CodePointSet {
 public:
  struct Range {
    char32_t first = 0, last = 0;
  };
  static CodePointSet all();

  /// Adds first..last; surrogates in between are left out.
  void add(char32_t first, char32_t last);
  void add(char32_t c) { add(c, c); }
  void add(const CodePointSet& other);
  CodePointSet complement() const;
  CodePointSet without(const CodePointSet& other) const;
  bool empty() const { return ranges_.empty(); }
  /// In order, apart from each other.
  const std::vector<Range>& ranges() const { return ranges_; }

  /// The set's UTF-8 as sequences of byte ranges, each sequence for characters of one length.
  std::vector<std::vector<ByteRange>> utf8() const;

 private:
  std::vector<Range> ranges_;
};

}  // namespace mica::constraint_detail
