#pragma once
// Internal: the lines of a file, plain or compressed with gzip (its first bytes tell).

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace mica {

class TextLines {
 public:
  /// Throws Error where the path is no readable regular file.
  static TextLines open(const std::string& path);
  /// Lines of a text; `where` stands for its path in errors.
  TextLines(std::string_view text, std::string where);
  TextLines(TextLines&&) noexcept;
  TextLines& operator=(TextLines&&) noexcept;
  ~TextLines();

  /// The next line without its end ("\n" or "\r\n"); false after the last. A byte order mark at the very beginning is
  /// left out. Throws Error for a damaged or cut off gzip stream, and for a line beyond 256 MB.
  bool next(std::string* line);
  /// The next bytes as they are, up to `limit`; empty at the end. Not to be mixed with next().
  std::string_view bytes(size_t limit);
  /// All the rest; throws Error where it is longer than `limit`.
  std::string rest(size_t limit);
  /// The number of the line that next() gave last, from 1.
  int64_t number() const { return number_; }
  /// Whether that line ended with "\r\n".
  bool crlf() const { return crlf_; }
  /// "PATH line 17".
  std::string where() const;
  const std::string& path() const { return path_; }

 private:
  struct Source;
  explicit TextLines(std::unique_ptr<Source> source, std::string path);
  bool fill();

  std::unique_ptr<Source> source_;
  std::string path_;
  std::string_view left_;  // of what was read
  int64_t number_ = 0;
  bool crlf_ = false;
};

}  // namespace mica
