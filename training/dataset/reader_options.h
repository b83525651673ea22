#pragma once
// How the readers of data sets take files apart.

#include <string>
#include <utility>
#include <vector>

namespace mica {

struct JsonOptions {
  /// Where the rows are kept, in a form that is mapped, so that they may be larger than memory; taken from there as
  /// long as the file has the same path, size and time of change, and the options are the same. Empty: rows stay in
  /// memory.
  std::string cache_folder = {};
};

/// Comma-separated values as RFC 4180 has them: a field may be quoted, and then hold delimiters, line ends, and quotes
/// written twice. The type of a column is inferred over all rows: truth values (true, false), integers, numbers, else
/// texts; what has a leading zero (a post code) is a text. An empty field that isn't quoted is null.
struct CsvOptions {
  char delimiter = ',';
  char quote = '"';                            ///< '\0': none is special
  bool header = true;                          ///< the first line names the columns
  std::vector<std::string> column_names = {};  ///< in place of the header's; needed where there is none
  std::vector<std::string> null_values = {};   ///< further fields that stand for null, such as "NA"
  std::string cache_folder = {};               ///< see JsonOptions
};

/// A row of the column `text` is a line, a paragraph (lines up to a blank one) or the whole file.
enum class TextUnit { line, paragraph, document };

struct TextOptions {
  TextUnit sample_by = TextUnit::line;
  std::string cache_folder = {};  ///< see JsonOptions
};

/// A token a line, its columns parted by tabs where the first sentence has any, else by white space; sentences are
/// parted by blank lines. Left out are sentences that begin with -DOCSTART-, lines without a tab that begin with #
/// where tabs part the columns, and the ranges and empty nodes (1-2, 1.1) of CoNLL-U.
struct ConllOptions {
  /// Names of list columns, and the numbers of the file's columns for them; negative ones count from the end.
  std::vector<std::pair<std::string, int>> columns = {{"tokens", 0}, {"tags", -1}};
  std::string cache_folder = {};  ///< see JsonOptions
};

}  // namespace mica
