// JSON lines: an object a line.

#include "mica/base/error.h"
#include "mica/training/dataset/readers.h"
#include "mica/training/dataset/value_json.h"

namespace mica {

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

}  // namespace mica
