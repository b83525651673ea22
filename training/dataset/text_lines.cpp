#include "mica/training/dataset/text_lines.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include <zlib.h>

#include "mica/base/error.h"
#include "mica/base/file.h"

namespace mica {
namespace {

constexpr size_t kMaxLine = size_t{256} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

// zlib's reader passes plain files through as they are.
struct TextLines::Source {
  gzFile file = nullptr;
  std::vector<char> buffer;
  std::string_view text;  // in place of a file
  bool begun = false;

  ~Source() {
    if (file != nullptr) gzclose(file);
  }
};

TextLines::TextLines(std::unique_ptr<Source> source, std::string path)
    : source_(std::move(source)), path_(std::move(path)) {}

TextLines::TextLines(std::string_view text, std::string where) : source_(new Source), path_(std::move(where)) {
  source_->text = text;
}

TextLines::TextLines(TextLines&&) noexcept = default;
TextLines& TextLines::operator=(TextLines&&) noexcept = default;
TextLines::~TextLines() = default;

TextLines TextLines::open(const std::string& path) {
  if (!file_exists(path)) throw Error("there is no such file", printable(path, 400), "check the path");
  auto source = std::make_unique<Source>();
  source->file = gzopen(path.c_str(), "rbe");
  if (source->file == nullptr) throw Error("cannot open file", printable(path, 400), "check its permissions");
  source->buffer.resize(size_t{1} << 18);
  gzbuffer(source->file, 1 << 18);
  return TextLines(std::move(source), path);
}

bool TextLines::fill() {
  if (source_->file == nullptr) {
    left_ = source_->begun ? std::string_view() : source_->text;
  } else {
    const int got = gzread(source_->file, source_->buffer.data(), static_cast<unsigned>(source_->buffer.size()));
    int code = Z_OK;
    const char* message = gzerror(source_->file, &code);
    // A stream that ends early is reported only once all that it holds has been given out.
    if (got < 0 || (got == 0 && code != Z_OK && code != Z_STREAM_END)) {
      throw Error("cannot read: " + printable(message), where(),
                  "the gzip stream is damaged or cut off: fetch it again");
    }
    left_ = {source_->buffer.data(), static_cast<size_t>(got)};
  }
  if (!source_->begun && left_.starts_with(kByteOrderMark)) left_.remove_prefix(kByteOrderMark.size());
  source_->begun = true;
  return !left_.empty();
}

bool TextLines::next(std::string* line) {
  line->clear();
  if (left_.empty() && !fill()) return false;
  ++number_;
  while (true) {
    const size_t end = left_.find('\n');
    const std::string_view part = left_.substr(0, end);
    if (line->size() + part.size() > kMaxLine) {
      throw Error("a line of more than 256 MB", where(), "is this the right file?");
    }
    line->append(part);
    left_.remove_prefix(std::min(left_.size(), part.size() + 1));
    if (end != std::string_view::npos || (left_.empty() && !fill())) break;
  }
  crlf_ = line->ends_with('\r');
  if (crlf_) line->pop_back();
  return true;
}

std::string_view TextLines::bytes(size_t limit) {
  if (left_.empty() && !fill()) return {};
  const std::string_view part = left_.substr(0, limit);
  left_.remove_prefix(part.size());
  return part;
}

std::string TextLines::rest(size_t limit) {
  std::string all;
  for (std::string_view part = bytes(limit); !part.empty(); part = bytes(limit)) {
    if (part.size() > limit - all.size()) {
      throw Error("more than " + std::to_string(limit >> 20) + " MB", printable(path_, 400), "split the file");
    }
    all += part;
  }
  return all;
}

std::string TextLines::where() const {
  return printable(path_, 400) + (number_ > 0 ? " line " + std::to_string(number_) : "");
}

}  // namespace mica
