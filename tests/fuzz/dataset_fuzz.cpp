// Any bytes as a file of rows: an Error, or a data set whose every cell can be read. The first byte chooses the format.

#include "mica/base/error.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/training/dataset/readers.h"

namespace mica::fuzz {
namespace {

void read(uint8_t format, std::string_view text, RowGatherer& rows) {
  TextLines lines(text, "fuzz");
  switch (format % 10) {
    case 0:
      return read_jsonl(lines, rows);
    case 1:
      return read_json(lines, rows);
    case 2:
      return read_csv([&] { return TextLines(text, "fuzz"); }, {}, rows);
    case 3:
      return read_csv([&] { return TextLines(text, "fuzz"); }, {.delimiter = '\t', .quote = '\0'}, rows);
    case 4:
      return read_csv([&] { return TextLines(text, "fuzz"); },
                      {.header = false, .column_names = {"a", "b"}, .null_values = {"NA"}}, rows);
    case 5:
      return read_text(lines, {}, rows);
    case 6:
      return read_text(lines, {.sample_by = TextUnit::paragraph}, rows);
    case 7:
      return read_conll(lines, {}, rows);
    case 8:
      return read_conll(lines, {.columns = {{"tokens", 1}, {"upos", 3}}}, rows);
    default:
      return read_squad(lines, rows);
  }
}

}  // namespace
}  // namespace mica::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  if (size == 0) return 0;
  try {
    RowGatherer rows({}, 256);  // several blocks
    fuzz::read(data[0], fuzz::text(data + 1, size - 1), rows);
    const int64_t count = rows.rows();
    const Dataset dataset(rows.finish());
    fuzz::require(dataset.size() == count, "all rows are there");
    for (const Example& row : dataset) {
      fuzz::require(row.size() == dataset.features().size(), "rows are whole");
      for (const auto& [name, value] : row.fields()) {
        value.text();
        fuzz::require(value == dataset.cell(row.row(), name), "a cell is itself");
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
