// The readers of files, as data sets give them.

#include "mica/training/dataset/readers.h"

#include <algorithm>

#include "mica/base/error.h"

namespace mica {
namespace {

template <typename Read>
Dataset read_file_with(const std::string& path, const Read& read) {
  TextLines lines = TextLines::open(path);
  RowGatherer rows;
  read(lines, rows);
  return Dataset(rows.finish());
}

}  // namespace

void add_row(RowGatherer& rows, const std::vector<Value::Field>& fields, const TextLines& lines) {
  try {
    rows.add(fields);
  } catch (const Error& error) {
    throw Error(error.problem(), lines.where() + (error.where().empty() ? "" : ", " + error.where()), error.mend());
  }
}

Dataset Dataset::from_jsonl(const std::string& path) {
  return read_file_with(path, read_jsonl);
}

Dataset Dataset::from_json(const std::string& path) {
  return read_file_with(path, read_json);
}

Dataset Dataset::from_squad(const std::string& path) {
  return read_file_with(path, read_squad);
}

Dataset Dataset::from_csv(const std::string& path, const CsvOptions& options) {
  RowGatherer rows;
  read_csv([&] { return TextLines::open(path); }, options, rows);
  return Dataset(rows.finish());
}

Dataset Dataset::from_text(const std::string& path, const TextOptions& options) {
  return read_file_with(path, [&](TextLines& lines, RowGatherer& rows) { read_text(lines, options, rows); });
}

Dataset Dataset::from_conll(const std::string& path, const ConllOptions& options) {
  return read_file_with(path, [&](TextLines& lines, RowGatherer& rows) { read_conll(lines, options, rows); });
}

Dataset Dataset::from_file(const std::string& path) {
  std::string name = path.substr(path.find_last_of('/') + 1);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  const auto is = [&](std::initializer_list<const char*> endings) {
    return std::any_of(endings.begin(), endings.end(), [&](const char* ending) { return name.ends_with(ending); });
  };
  if (is({".jsonl", ".ndjson"})) return from_jsonl(path);
  if (is({".json"})) return from_json(path);
  if (is({".csv"})) return from_csv(path);
  if (is({".tsv"})) return from_csv(path, {.delimiter = '\t'});
  if (is({".txt", ".text"})) return from_text(path);
  if (is({".conll", ".iob", ".bio"})) return from_conll(path);
  if (is({".conllu"})) return from_conll(path, {.columns = {{"tokens", 1}, {"upos", 3}, {"xpos", 4}}});
  throw Error("the name does not tell what the file holds", printable(path, 400),
              "name it .jsonl, .json, .csv, .tsv, .txt, .conll or .conllu (each also .gz), or call the reader by name");
}

}  // namespace mica
