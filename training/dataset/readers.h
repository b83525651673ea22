#pragma once
// Internal: what each file format gives, row by row. Lines may come from a file or from memory.

#include <functional>

#include "mica/base/json.h"
#include "mica/training/dataset/reader_options.h"
#include "mica/training/dataset/storage.h"
#include "mica/training/dataset/text_lines.h"

namespace mica {

/// Adds a row; errors name the line.
void add_row(RowGatherer& rows, const std::vector<Value::Field>& fields, const TextLines& lines);

void read_jsonl(TextLines& lines, RowGatherer& rows);
/// JSON that is no list of lines: an array of objects, {"data": [objects]}, SQuAD; or JSON lines after all.
void read_json(TextLines& lines, RowGatherer& rows);
/// Opens the text twice: once to infer types.
void read_csv(const std::function<TextLines()>& open, const CsvOptions& options, RowGatherer& rows);
void read_text(TextLines& lines, const TextOptions& options, RowGatherer& rows);
void read_conll(TextLines& lines, const ConllOptions& options, RowGatherer& rows);
void read_squad(TextLines& lines, RowGatherer& rows);

bool is_squad(const Json& json);
void add_squad(const Json& json, const std::string& where, RowGatherer& rows);

}  // namespace mica
