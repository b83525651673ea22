#include "mica/tokenizers/trainers/text_source.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr size_t kMaxLine = size_t{1} << 30;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

class LineReader {
 public:
  LineReader(std::vector<std::string> paths, TextFileOptions options)
      : paths_(std::move(paths)), options_(std::move(options)), buffer_(1 << 20) {
    for (const std::string& path : paths_) {
      std::error_code error;
      if (!std::filesystem::is_regular_file(path, error)) {
        throw Error("no such file", printable(path, 400), "name text files");
      }
      total_ += static_cast<int64_t>(std::filesystem::file_size(path, error));
    }
  }

  bool next(std::string& text) {
    while (true) {
      if (!waiting_.empty()) {
        text = std::move(waiting_.front());
        waiting_.pop_front();
        return true;
      }
      if (!next_line(text)) return false;
      if (options_.json_field.empty()) {
        if (!utf8::is_valid(text)) fail("not valid UTF-8: \"" + printable(text, 60) + "\"", "convert it to UTF-8");
        return true;
      }
      if (text.find_first_not_of(" \t") != std::string::npos) take_json(text);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& problem, const std::string& mend) const {
    throw Error(problem, where(), mend);
  }
  std::string where() const { return printable(paths_[file_number_ - 1], 400) + ", line " + std::to_string(line_); }

  void take_json(const std::string& line) {
    const Json json = parse_json(line, where());
    const auto it = json.is_object() ? json.find(options_.json_field) : json.end();
    if (!json.is_object() || it == json.end()) {
      fail("no object with a field \"" + printable(options_.json_field, 60) + "\"", "name a field that every line has");
    }
    const auto take = [&](const Json& value) {
      if (!value.is_string()) {
        fail("field \"" + printable(options_.json_field, 60) + "\" is neither a string nor an array of strings",
             "name a field of texts");
      }
      waiting_.push_back(value.get<std::string>());
    };
    if (it->is_array()) {
      for (const Json& value : *it) take(value);
    } else {
      take(*it);
    }
  }

  // The next line of whatever file is open, or of the next one; false at the end of the last.
  bool next_line(std::string& line) {
    line.clear();
    while (true) {
      if (!file_) {
        if (file_number_ == paths_.size()) return false;
        file_.reset(std::fopen(paths_[file_number_++].c_str(), "rb"));
        line_ = 0;
        if (!file_) fail(std::string("cannot read: ") + std::strerror(errno), "name a readable file");
      }
      const char* const begin = buffer_.data() + begin_;
      const void* const hit = begin_ == end_ ? nullptr : std::memchr(begin, '\n', end_ - begin_);
      const size_t length = hit == nullptr ? end_ - begin_ : static_cast<size_t>(static_cast<const char*>(hit) - begin);
      line.append(begin, length);
      if (line.size() > kMaxLine) fail("a line of more than 1 GB", "cut the text into lines");
      if (hit != nullptr) {
        begin_ += length + 1;
        return finish_line(line);
      }
      begin_ = 0;
      end_ = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
      done_ += static_cast<int64_t>(end_);
      if (options_.progress) options_.progress(done_, std::max(done_, total_));
      if (end_ != 0) continue;
      if (std::ferror(file_.get()) != 0) fail(std::string("cannot read: ") + std::strerror(errno), "mend the disk");
      file_.reset();
      if (!line.empty()) return finish_line(line);
    }
  }
  bool finish_line(std::string& line) {
    ++line_;
    if (line.ends_with('\r')) line.pop_back();
    return true;
  }

  std::vector<std::string> paths_;
  TextFileOptions options_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  std::unique_ptr<std::FILE, CloseFile> file_;
  size_t file_number_ = 0;  // of the file that is open, from 1
  int64_t line_ = 0, done_ = 0, total_ = 0;
  std::deque<std::string> waiting_;
};

}  // namespace

TextSource::TextSource(std::vector<std::string>&& texts)
    : next_([own = std::make_shared<std::vector<std::string>>(std::move(texts)),
             i = size_t{0}](std::string& text) mutable {
        if (i == own->size()) return false;
        text = (*own)[i++];
        return true;
      }) {}

TextSource text_files(std::vector<std::string> paths, TextFileOptions options) {
  auto reader = std::make_shared<LineReader>(std::move(paths), std::move(options));
  return TextSource([reader](std::string& text) { return reader->next(text); });
}

}  // namespace mica
