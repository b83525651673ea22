#pragma once
// Internal: what each file format gives, row by row. Lines may come from a file or from memory.

#include "mica/training/dataset/storage.h"
#include "mica/training/dataset/text_lines.h"

namespace mica {

/// Adds a row; errors name the line.
void add_row(RowGatherer& rows, const std::vector<Value::Field>& fields, const TextLines& lines);

void read_jsonl(TextLines& lines, RowGatherer& rows);

}  // namespace mica
