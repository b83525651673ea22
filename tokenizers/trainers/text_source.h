#pragma once
// Where the texts of a training come from: one by one, so that a corpus need not fit into memory.

#include <concepts>
#include <functional>
#include <memory>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mica {

class TextSource {
 public:
  /// Puts the next text into its argument; false when there is none left.
  using Next = std::function<bool(std::string& text)>;

  TextSource(Next next) : next_(std::move(next)) {}

  /// The elements of a range of strings (or of batches of strings), which must outlive the source.
  template <std::ranges::input_range Range>
  requires std::convertible_to<std::ranges::range_reference_t<const Range&>, std::string_view> TextSource(
      const Range& texts)
      : next_([it = std::ranges::begin(texts), end = std::ranges::end(texts)](std::string& text) mutable {
          if (it == end) return false;
          text = std::string_view(*it);
          ++it;
          return true;
        }) {}
  /// Owns the texts.
  TextSource(std::vector<std::string>&& texts);
  TextSource(std::initializer_list<std::string_view> texts)
      : TextSource(std::vector<std::string>(texts.begin(), texts.end())) {}

  bool next(std::string& text) { return next_(text); }

 private:
  Next next_;
};

/// What lines of a file are.
struct TextFileOptions {
  /// With a name: every line is a JSON object whose string of this name is the text (an array of strings is several).
  /// Without: every line is a text.
  std::string json_field;
  /// Told the bytes read so far, and those there are.
  std::function<void(int64_t done, int64_t total)> progress;
};

/// The lines of text files, one after another, without their line ends ("\n" or "\r\n"). A text that is not UTF-8, a
/// line that is no JSON object with the field, and a file that cannot be read are Errors that name the file and line;
/// so is a line above 1 GB.
TextSource text_files(std::vector<std::string> paths, TextFileOptions options = {});

}  // namespace mica
