#pragma once
// A text on its way through normalizers and pre-tokenizers: its present bytes, and which characters of the original
// each of them stands for.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/batch_encoding.h"
#include "mica/tokenizers/unicode.h"

namespace mica {

/// A piece of the present text, in bytes: [begin, end).
struct ByteRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

class NormalizedText {
 public:
  NormalizedText() = default;
  /// Takes valid UTF-8 whose first character is character `first` of the original text.
  void assign(std::string_view text, int32_t first);
  /// Takes a rewritten text and what each of its bytes stands for.
  void assign(std::string text, std::vector<CharSpan> origin);

  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  std::string_view view(ByteRange range) const {
    return std::string_view(text_).substr(range.begin, range.end - range.begin);
  }
  ByteRange all() const { return {0, static_cast<uint32_t>(text_.size())}; }
  /// The characters of the original that a range of bytes stands for; an empty range keeps its place.
  CharSpan original(ByteRange range) const;

  /// The present characters.
  std::vector<char32_t> characters() const;
  /// Replaces the whole text, one Change per new character (see unicode::Change).
  void transform(const std::vector<unicode::Change>& changes);
  /// Keeps the characters that `keep` accepts.
  void filter(const std::function<bool(char32_t)>& keep);
  /// Replaces characters one by one.
  void map(const std::function<char32_t(char32_t)>& mapped);
  /// Keeps only a range of bytes.
  void crop(ByteRange range);
  /// Keeps only a range of bytes, as a text of its own: it starts at the character that its first byte stands for.
  void cut_out(ByteRange range);

  /// Building a text from parts of another: empty at the same place, then part after part.
  void start_like(const NormalizedText& other);
  void append(const NormalizedText& other, ByteRange range);
  void append(std::string_view content, CharSpan place);
  /// Puts `content` in the place of every range (in order, not overlapping); what is put in stands for the last
  /// character that it replaces.
  void replace(const std::vector<ByteRange>& ranges, std::string_view content);

 private:
  std::string text_;
  std::vector<CharSpan> origin_;  // one per byte of text_
  int32_t first_ = 0;             // where insertions before the first character stand
};

}  // namespace mica
