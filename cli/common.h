#pragma once
// What the subcommands share: common flags, where texts come from, and how results are written.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"

#include "mica/models/auto/model.h"
#include "mica/models/pipelines/batches.h"
#include "mica/tensor/tensor.h"

namespace mica::cli {

/// The flags of every subcommand that opens a model.
struct CommonOptions {
  std::string model;
  std::string device = "cpu", dtype;
  int64_t threads = 0, batch_size = 32;
  bool json = false, jsonl = false;

  void declare(Arguments& arguments, bool needs_model = true);
  /// Checks device and dtype, sets the number of threads.
  LoadOptions load_options() const;
};

/// One input of a text task; which of the fields there are depends on the task.
struct TextInput {
  std::string text;
  std::optional<std::string> pair, question, context;
};

/// Texts from the arguments; from standard input, a line each, for the single argument "-"; or, with `jsonl`, from
/// standard input as a JSON value a line: a string or an object with fields of `fields` ("text", "pair", ...). Throws
/// UsageError when there are no arguments, Error (naming the line) for what is malformed or not UTF-8, or when standard
/// input is empty.
std::vector<TextInput> read_inputs(const std::vector<std::string>& arguments, bool jsonl,
                                   const std::vector<std::string>& fields);

/// Standard output, checked: Error when it cannot be written.
void write_line(std::string_view line);
void flush_output();

/// A bar on a terminal's standard error; empty (draws nothing) elsewhere.
Progress progress_bar(std::string label);

/// Draws that bar as it is now; gone once done is total.
void draw_progress(const std::string& label, int64_t done, int64_t total);

/// The last bar, if any is on the screen, is wiped out. Called before anything else goes to the terminal.
void end_progress();

/// Text of exactly this many columns, cut with an ellipsis or padded; control characters are replaced.
std::string fit(std::string_view text, size_t columns);

/// "1.50", with this many digits after the point.
std::string fixed(double value, int digits);

}  // namespace mica::cli
