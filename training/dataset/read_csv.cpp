// Comma-separated values, RFC 4180. (No C++ reader of them is packaged for Debian that says where a file is wrong.)

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/error.h"
#include "mica/training/dataset/readers.h"

namespace mica {
namespace {

struct CsvField {
  std::string text;
  bool quoted = false;
};

// Records of a text, taken apart.
class Records {
 public:
  Records(TextLines lines, const CsvOptions& options) : lines_(std::move(lines)), options_(options) {}

  // False after the last. Blank lines are none.
  bool next(std::vector<CsvField>* fields) {
    std::string line;
    do {
      if (!lines_.next(&line)) return false;
    } while (line.empty());
    fields->clear();
    size_t at = 0;
    while (true) {
      fields->push_back(field(&line, &at));
      if (at == line.size()) return true;
      ++at;  // the delimiter
    }
  }
  const TextLines& lines() const { return lines_; }

 private:
  // The field that begins at *at; *at then is at the delimiter or the line's end.
  CsvField field(std::string* line, size_t* at) {
    CsvField result;
    if (options_.quote == '\0' || *at == line->size() || (*line)[*at] != options_.quote) {
      const size_t end = std::min(line->find(options_.delimiter, *at), line->size());
      result.text = line->substr(*at, end - *at);
      *at = end;
      return result;
    }
    result.quoted = true;
    const int64_t opened = lines_.number();
    for (++*at;; ++*at) {
      const size_t end = line->find(options_.quote, *at);
      result.text.append(*line, *at, end == std::string::npos ? end : end - *at);
      if (end == std::string::npos) {  // the field goes on on the next line
        result.text += lines_.crlf() ? "\r\n" : "\n";
        if (result.text.size() > kMaxField || !lines_.next(line)) {
          throw Error("a quote that is never closed", printable(lines_.path(), 400) + " line " + std::to_string(opened),
                      "write quotes inside a quoted field twice; where quotes mean nothing, set quote = '\\0'");
        }
        *at = std::string::npos;  // and begins at 0
        continue;
      }
      *at = end + 1;
      if (*at == line->size() || (*line)[*at] == options_.delimiter) return result;
      if ((*line)[*at] != options_.quote) {
        throw Error("text after a closing quote", lines_.where(),
                    "write quotes inside a quoted field twice; where quotes mean nothing, set quote = '\\0'");
      }
      result.text += options_.quote;
    }
  }

  static constexpr size_t kMaxField = size_t{256} << 20;
  TextLines lines_;
  const CsvOptions& options_;
};

template <typename T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Digits with an optional sign, a point, an exponent; no leading zero before another digit.
bool looks_like_number(std::string_view text) {
  const size_t sign = text.starts_with('-') ? 1 : 0;
  if (sign == text.size()) return false;
  const auto is_digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  if (!is_digit(sign) && !(text[sign] == '.' && is_digit(sign + 1))) return false;
  return !(text[sign] == '0' && is_digit(sign + 1));
}

// What all fields of a column can be.
struct CsvType {
  bool boolean = true, integer = true, number = true;
  bool any = false;

  void see(std::string_view text) {
    any = true;
    boolean = boolean && truth_of(text).has_value();
    const bool numeric = (integer || number) && looks_like_number(text);
    integer = integer && numeric && number_of<int64_t>(text).has_value();
    number = number && numeric && number_of<double>(text).has_value();
  }

  static std::optional<bool> truth_of(std::string_view text) {
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
    return std::nullopt;
  }

  Value value(std::string text) const {
    if (any && boolean) return *truth_of(text);
    if (any && integer) return *number_of<int64_t>(text);
    if (any && number) return *number_of<double>(text);
    return text;
  }
};

class CsvReader {
 public:
  CsvReader(const std::function<TextLines()>& open, const CsvOptions& options) : open_(open), options_(options) {
    const char d = options.delimiter;
    if (d == '\n' || d == '\r' || d == '\0' || d == options.quote) {
      throw Error("a delimiter that can be none", "reader of CSV", "use a comma, a tab, a semicolon");
    }
    if (!options.header && options.column_names.empty()) {
      throw Error("neither a header nor column_names", "reader of CSV", "name the columns");
    }
  }

  void run(RowGatherer& rows) {
    std::vector<CsvType> types;
    scan([&](const std::vector<CsvField>& fields, const TextLines&) {
      types.resize(names_.size());
      for (size_t i = 0; i < fields.size(); ++i) {
        if (!is_null(fields[i])) types[i].see(fields[i].text);
      }
    });
    types.resize(names_.size());
    rows.declare(names_);
    std::vector<Value::Field> row;
    scan([&](std::vector<CsvField>& fields, const TextLines& lines) {
      row.clear();
      for (size_t i = 0; i < fields.size(); ++i) {
        row.emplace_back(names_[i], is_null(fields[i]) ? Value() : types[i].value(std::move(fields[i].text)));
      }
      add_row(rows, row, lines);
    });
  }

 private:
  static constexpr size_t kMaxColumns = 4096;

  bool is_null(const CsvField& field) const {
    if (field.quoted) return false;
    return field.text.empty() || std::find(options_.null_values.begin(), options_.null_values.end(), field.text) !=
                                     options_.null_values.end();
  }

  void take_names(const std::vector<CsvField>& header, const TextLines& lines) {
    names_ = options_.column_names;
    if (names_.empty()) {
      for (const CsvField& field : header) names_.push_back(field.text);
    }
    if (options_.header && names_.size() != header.size()) {
      throw Error(std::to_string(names_.size()) + " column_names for " + std::to_string(header.size()) + " columns",
                  lines.where(), "name each");
    }
    if (names_.size() > kMaxColumns) {
      throw Error("more than " + std::to_string(kMaxColumns) + " columns", lines.where(), "is this the right file?");
    }
    std::vector<std::string> sorted = names_;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) {
      throw Error("two columns are called \"" + printable(*twice) + "\"", lines.where(), "give column_names");
    }
  }

  template <typename Function>
  void scan(const Function& function) {
    Records records(open_(), options_);
    std::vector<CsvField> fields;
    if (options_.header && !records.next(&fields)) {
      throw Error("the file is empty", records.lines().where(), "the first line must name the columns");
    }
    take_names(fields, records.lines());
    while (records.next(&fields)) {
      if (fields.size() != names_.size()) {
        throw Error(std::to_string(fields.size()) + " fields in a row of " + std::to_string(names_.size()) + " columns",
                    records.lines().where(), "quote fields that hold the delimiter, or choose another delimiter");
      }
      function(fields, records.lines());
    }
  }

  const std::function<TextLines()>& open_;
  const CsvOptions& options_;
  std::vector<std::string> names_;
};

}  // namespace

void read_csv(const std::function<TextLines()>& open, const CsvOptions& options, RowGatherer& rows) {
  CsvReader(open, options).run(rows);
}

}  // namespace mica
