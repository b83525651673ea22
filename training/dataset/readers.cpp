// The readers of files, as data sets give them.

#include "mica/training/dataset/readers.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/image.h"
#include "mica/training/dataset/disk.h"
#include "mica/training/dataset/fingerprint.h"

namespace mica {
namespace {

// What a reader makes of a file: told by the file as it is now, the reader and its options.
Dataset read_with(const std::string& path, const std::string& cache_folder, const Fingerprint& reader,
                  const std::function<void(RowGatherer&)>& gather) {
  const std::optional<ImageSource> source = ImageSource::of(path);
  if (!source) throw Error("there is no such file", printable(path, 400), "check the path");
  Fingerprint fingerprint = reader;
  fingerprint.add(source->path).add(source->size).add(source->modified_ns);
  return Dataset(cached(cache_folder, fingerprint.text(), {}, gather));
}

Dataset read_lines_with(const std::string& path, const std::string& cache_folder, const Fingerprint& reader,
                        const std::function<void(TextLines&, RowGatherer&)>& read) {
  return read_with(path, cache_folder, reader, [&](RowGatherer& rows) {
    TextLines lines = TextLines::open(path);
    read(lines, rows);
  });
}

}  // namespace

void add_row(RowGatherer& rows, const std::vector<Value::Field>& fields, const TextLines& lines) {
  try {
    rows.add(fields);
  } catch (const Error& error) {
    throw Error(error.problem(), lines.where() + (error.where().empty() ? "" : ", " + error.where()), error.mend());
  }
}

Dataset Dataset::from_jsonl(const std::string& path, const JsonOptions& options) {
  return read_lines_with(path, options.cache_folder, Fingerprint().add("jsonl"), read_jsonl);
}

Dataset Dataset::from_json(const std::string& path, const JsonOptions& options) {
  return read_lines_with(path, options.cache_folder, Fingerprint().add("json"), read_json);
}

Dataset Dataset::from_squad(const std::string& path, const JsonOptions& options) {
  return read_lines_with(path, options.cache_folder, Fingerprint().add("squad"), read_squad);
}

Dataset Dataset::from_csv(const std::string& path, const CsvOptions& options) {
  Fingerprint reader;
  reader.add("csv").add(options.delimiter).add(options.quote).add(options.header ? 1 : 0);
  for (const std::string& each : options.column_names) reader.add(each);
  reader.add("null");
  for (const std::string& each : options.null_values) reader.add(each);
  return read_with(path, options.cache_folder, reader,
                   [&](RowGatherer& rows) { read_csv([&] { return TextLines::open(path); }, options, rows); });
}

Dataset Dataset::from_text(const std::string& path, const TextOptions& options) {
  return read_lines_with(path, options.cache_folder, Fingerprint().add("text").add(static_cast<int>(options.sample_by)),
                         [&](TextLines& lines, RowGatherer& rows) { read_text(lines, options, rows); });
}

Dataset Dataset::from_conll(const std::string& path, const ConllOptions& options) {
  Fingerprint reader;
  reader.add("conll");
  for (const auto& [name, number] : options.columns) reader.add(name).add(number);
  return read_lines_with(path, options.cache_folder, reader,
                         [&](TextLines& lines, RowGatherer& rows) { read_conll(lines, options, rows); });
}

Dataset Dataset::from_file(const std::string& path, const std::string& cache_folder) {
  if (directory_exists(path)) return load_from_disk(path);
  std::string name = path.substr(path.find_last_of('/') + 1);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  const auto is = [&](std::initializer_list<const char*> endings) {
    return std::any_of(endings.begin(), endings.end(), [&](const char* ending) { return name.ends_with(ending); });
  };
  if (is({".jsonl", ".ndjson"})) return from_jsonl(path, {.cache_folder = cache_folder});
  if (is({".json"})) return from_json(path, {.cache_folder = cache_folder});
  if (is({".csv"})) return from_csv(path, {.cache_folder = cache_folder});
  if (is({".tsv"})) return from_csv(path, {.delimiter = '\t', .cache_folder = cache_folder});
  if (is({".txt", ".text"})) return from_text(path, {.cache_folder = cache_folder});
  if (is({".conll", ".iob", ".bio"})) return from_conll(path, {.cache_folder = cache_folder});
  if (is({".conllu"})) {
    return from_conll(path, {.columns = {{"tokens", 1}, {"upos", 3}, {"xpos", 4}}, .cache_folder = cache_folder});
  }
  throw Error("the name does not tell what the file holds", printable(path, 400),
              "name it .jsonl, .json, .csv, .tsv, .txt, .conll or .conllu (each also .gz), or call the reader by name");
}

}  // namespace mica
