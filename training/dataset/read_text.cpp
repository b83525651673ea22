// Plain text: lines, paragraphs or the whole.

#include "mica/base/error.h"
#include "mica/training/dataset/readers.h"

namespace mica {

void read_text(TextLines& lines, const TextOptions& options, RowGatherer& rows) {
  rows.declare({"text"});
  const auto add = [&](std::string text) { add_row(rows, {{"text", std::move(text)}}, lines); };
  if (options.sample_by == TextUnit::document) return add(lines.rest(size_t{4} << 30));
  std::string line, paragraph;
  while (lines.next(&line)) {
    if (options.sample_by == TextUnit::line) {
      add(line);
    } else if (line.find_first_not_of(" \t\r") != std::string::npos) {
      paragraph += (paragraph.empty() ? "" : "\n") + line;
    } else if (!paragraph.empty()) {
      add(std::move(paragraph));
      paragraph.clear();
    }
  }
  if (!paragraph.empty()) add(std::move(paragraph));
}

}  // namespace mica
