// CoNLL's layout: a token a line, blank lines between sentences.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/error.h"
#include "mica/training/dataset/readers.h"

namespace mica {
namespace {

struct NumberedLine {
  int64_t number = 0;
  std::string text;
};

std::vector<std::string_view> split(std::string_view line, bool tabs) {
  std::vector<std::string_view> parts;
  if (tabs) {
    while (true) {
      const size_t end = line.find('\t');
      parts.push_back(line.substr(0, end));
      if (end == std::string_view::npos) return parts;
      line.remove_prefix(end + 1);
    }
  }
  while (true) {
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return parts;
    line.remove_prefix(begin);
    const size_t end = line.find_first_of(" \t");
    parts.push_back(line.substr(0, end));
    if (end == std::string_view::npos) return parts;
    line.remove_prefix(end);
  }
}

// 1-2 and 1.1: words that stand for tokens, or between them, in CoNLL-U.
bool is_range(std::string_view id) {
  const size_t digits = std::min(id.find_first_not_of("0123456789"), id.size());
  if (digits == 0 || digits == id.size() || (id[digits] != '-' && id[digits] != '.')) return false;
  const std::string_view rest = id.substr(digits + 1);
  return !rest.empty() && rest.find_first_not_of("0123456789") == std::string_view::npos;
}

class Reader {
 public:
  Reader(const ConllOptions& options, RowGatherer* rows, TextLines* lines)
      : options_(options), rows_(rows), lines_(lines) {}

  void run() {
    std::string line;
    std::vector<NumberedLine> sentence;
    while (lines_->next(&line)) {
      if (line.find_first_not_of(" \t\r") != std::string::npos) {
        sentence.push_back({lines_->number(), line});
      } else {
        finish(&sentence);
      }
    }
    finish(&sentence);
  }

 private:
  [[noreturn]] void fail(const NumberedLine& line, const std::string& problem, const std::string& mend) const {
    throw Error(problem, printable(lines_->path(), 400) + " line " + std::to_string(line.number), mend);
  }

  bool is_comment(const NumberedLine& line) const {
    return tabs_ && line.text.starts_with('#') && line.text.find('\t') == std::string::npos;
  }

  // Which of the line's fields each column takes, once the first tells how many there are.
  void settle(const NumberedLine& line, size_t width) {
    width_ = width;
    for (const auto& [name, number] : options_.columns) {
      const int64_t place = number < 0 ? number + static_cast<int64_t>(width) : number;
      if (place < 0 || place >= static_cast<int64_t>(width)) {
        fail(line,
             "there is no field " + std::to_string(number) + " for the column \"" + printable(name) +
                 "\", the line has " + std::to_string(width),
             "choose other columns");
      }
      if (std::find(places_.begin(), places_.end(), place) != places_.end()) {
        fail(line, "the column \"" + printable(name) + "\" is another's field: the line has " + std::to_string(width),
             "choose columns that are there");
      }
      places_.push_back(place);
    }
  }

  void finish(std::vector<NumberedLine>* sentence) {
    if (sentence->empty()) return;
    if (width_ == 0) {
      tabs_ = std::any_of(sentence->begin(), sentence->end(),
                          [](const NumberedLine& line) { return line.text.find('\t') != std::string::npos; });
    }
    std::vector<std::vector<std::string>> columns(options_.columns.size());
    bool any = false;
    for (const NumberedLine& line : *sentence) {
      if (is_comment(line)) continue;
      const std::vector<std::string_view> fields = split(line.text, tabs_);
      if (!any && fields.front().starts_with("-DOCSTART-")) break;
      if (width_ == 0) settle(line, fields.size());
      if (fields.size() != width_) {
        fail(line, std::to_string(fields.size()) + " fields, where the lines before have " + std::to_string(width_),
             "give every token the same");
      }
      any = true;
      if (width_ == 10 && is_range(fields.front())) continue;
      for (size_t i = 0; i < columns.size(); ++i) {
        columns[i].emplace_back(fields[static_cast<size_t>(places_[i])]);
      }
    }
    sentence->clear();
    if (!any || (!columns.empty() && columns.front().empty())) return;
    std::vector<Value::Field> row;
    for (size_t i = 0; i < columns.size(); ++i) row.emplace_back(options_.columns[i].first, columns[i]);
    add_row(*rows_, row, *lines_);
  }

  const ConllOptions& options_;
  RowGatherer* rows_;
  TextLines* lines_;
  bool tabs_ = false;
  size_t width_ = 0;  // fields of a line; 0: not yet known
  std::vector<int64_t> places_;
};

}  // namespace

void read_conll(TextLines& lines, const ConllOptions& options, RowGatherer& rows) {
  if (options.columns.empty()) throw Error("no columns are chosen", lines.where(), "name one at least");
  std::vector<std::string> names;
  for (const auto& [name, number] : options.columns) names.push_back(name);
  rows.declare(names);
  Reader(options, &rows, &lines).run();
}

}  // namespace mica
