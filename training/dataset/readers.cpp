#include "mica/training/dataset/readers.h"

#include "mica/base/error.h"

namespace mica {

void add_row(RowGatherer& rows, const std::vector<Value::Field>& fields, const TextLines& lines) {
  try {
    rows.add(fields);
  } catch (const Error& error) {
    throw Error(error.problem(), lines.where() + (error.where().empty() ? "" : ", " + error.where()), error.mend());
  }
}

Dataset Dataset::from_jsonl(const std::string& path) {
  TextLines lines = TextLines::open(path);
  RowGatherer rows;
  read_jsonl(lines, rows);
  return Dataset(rows.finish());
}

}  // namespace mica
