// JSON lines, and JSON files of rows.

#include <optional>

#include "mica/base/error.h"
#include "mica/training/dataset/readers.h"
#include "mica/training/dataset/value_json.h"

namespace mica {
namespace {

constexpr size_t kMaxFile = size_t{4} << 30;

void add_objects(const Json& array, const std::string& where, RowGatherer& rows) {
  for (const Json& each : array) {
    if (!each.is_object()) {
      throw Error("item " + std::to_string(rows.rows()) + " is no JSON object", where,
                  "write each row as {\"column\": value, ...}");
    }
    try {
      rows.add(value_from_json(each).as_struct());
    } catch (const Error& error) {
      throw Error(error.problem(), where + ", " + error.where(), error.mend());
    }
  }
}

// Nothing when the text is not one JSON value.
std::optional<Json> whole(const std::string& text, const std::string& where) {
  // A first line that is an object, with more to come, begins JSON lines.
  const size_t begin = text.find_first_not_of(" \t\r\n");
  const size_t end = text.find('\n', begin);
  const bool may_be_lines = begin != std::string::npos && text[begin] == '{' && end != std::string::npos &&
                            text.find_first_not_of(" \t\r\n", end) != std::string::npos;
  try {
    return parse_json(text, where);
  } catch (const Error&) {
    if (!may_be_lines || text.find_last_not_of(" \t\r", end - 1) == std::string::npos ||
        text[text.find_last_not_of(" \t\r", end - 1)] != '}') {
      throw;
    }
    return std::nullopt;
  }
}

}  // namespace

void read_jsonl(TextLines& lines, RowGatherer& rows) {
  std::string line;
  while (lines.next(&line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json json = parse_json(line, lines.where());
    if (!json.is_object()) {
      throw Error("a line that is no JSON object", lines.where(), "write each row as {\"column\": value, ...}");
    }
    add_row(rows, value_from_json(json).as_struct(), lines);
  }
}

void read_json(TextLines& lines, RowGatherer& rows) {
  const std::string text = lines.rest(kMaxFile);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return;
  const std::string where = lines.where();
  const std::optional<Json> json = whole(text, where);
  if (json && is_squad(*json)) {
    add_squad(*json, where, rows);
  } else if (json && json->is_array()) {
    add_objects(*json, where, rows);
  } else if (json && json->is_object() && json->size() == 1 && json->contains("data") && json->at("data").is_array()) {
    add_objects(json->at("data"), where, rows);
  } else {
    TextLines again(text, lines.path());
    read_jsonl(again, rows);
  }
}

}  // namespace mica
