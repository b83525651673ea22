#include "cli/common.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

#include <unistd.h>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/base/parallel.h"
#include "mica/kernels/device.h"
#include "mica/tokenizers/utf8.h"

namespace mica::cli {

void CommonOptions::declare(Arguments& arguments, bool needs_model) {
  const char* help = "a model folder, or a hub id in the local Hugging Face cache";
  needs_model ? arguments.required_text("model", model, help) : arguments.text("model", model, help);
  arguments.text("--device", device, "cpu, cuda or cuda:N");
  arguments.text("--dtype", dtype, "of matrix products: float32 or bfloat16 (default: as the weights)");
  arguments.integer("--threads", threads, 1, 1024, "threads to use (default: as many as the machine has)");
  arguments.integer("--batch-size", batch_size, 1, 1 << 20, "texts in one batch (default: 32)");
  arguments.flag("--json", json, "one JSON value per input, on its own line");
}

LoadOptions CommonOptions::load_options() const {
  if (threads > 0) set_num_threads(static_cast<int>(threads));
  LoadOptions options;
  options.device = device_from_string(device);
  if (dtype == "float16" || dtype == "int8") {
    throw Error("dtype " + dtype + " is not supported on " + device, "--dtype", "use float32 or bfloat16");
  }
  if (dtype.empty()) return options;
  if (dtype != "float32" && dtype != "bfloat16") {
    throw UsageError{"unknown dtype \"" + printable(dtype) + "\"", "--dtype", "use float32 or bfloat16"};
  }
  options.dtype = dtype_from_name(dtype);
  return options;
}

namespace {

bool takes(const std::vector<std::string>& fields, std::string_view name) {
  return std::find(fields.begin(), fields.end(), name) != fields.end();
}

void check_utf8(std::string_view text, const std::string& where) {
  if (!utf8::is_valid(text)) {
    throw Error("not valid UTF-8: \"" + printable(text, 60) + "\"", where, "convert the text to UTF-8");
  }
}

TextInput input_from_json(const std::string& line, const std::string& where, const std::vector<std::string>& fields) {
  const Json json = parse_json(line, where);
  TextInput input;
  if (json.is_string()) {
    if (!takes(fields, "text")) throw Error("a plain string", where, "give an object with " + fields[0]);
    input.text = json.get<std::string>();
    return input;
  }
  if (!json.is_object()) throw Error("neither a string nor an object", where, "give one of them on each line");
  std::string known;
  for (const std::string& field : fields) known += (known.empty() ? "" : ", ") + field;
  for (const auto& [key, value] : json.items()) {
    if (!takes(fields, key)) throw Error("unknown field \"" + printable(key) + "\"", where, "use " + known);
    if (!value.is_string()) throw Error("field \"" + key + "\" is no string", where, "make it a string");
    auto text = value.get<std::string>();
    if (key == "text") {
      input.text = std::move(text);
    } else if (key == "pair") {
      input.pair = std::move(text);
    } else if (key == "question") {
      input.question = std::move(text);
    } else if (key == "context") {
      input.context = std::move(text);
    }
  }
  for (const std::string& field : fields) {
    if (field != "pair" && !json.contains(field)) {
      throw Error("field \"" + field + "\" is missing", where, "use " + known);
    }
  }
  return input;
}

}  // namespace

std::vector<TextInput> read_inputs(const std::vector<std::string>& arguments, bool jsonl,
                                   const std::vector<std::string>& fields) {
  const bool from_stdin = jsonl || (arguments.size() == 1 && arguments[0] == "-");
  if (jsonl && !arguments.empty() && !(arguments.size() == 1 && arguments[0] == "-")) {
    throw UsageError{"texts as arguments together with --jsonl", "arguments", "leave one of them out"};
  }
  std::vector<TextInput> inputs;
  if (!from_stdin) {
    if (arguments.empty())
      throw UsageError{"no text", "arguments", "give texts, or - to read them from standard input"};
    for (size_t i = 0; i < arguments.size(); ++i) {
      check_utf8(arguments[i], "text " + std::to_string(i + 1));
      inputs.push_back({arguments[i], {}, {}, {}});
    }
    return inputs;
  }
  std::string line;
  for (int64_t number = 1; std::getline(std::cin, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    const std::string where = "standard input, line " + std::to_string(number);
    check_utf8(line, where);
    if (jsonl && line.find_first_not_of(" \t") == std::string::npos) continue;
    inputs.push_back(jsonl ? input_from_json(line, where, fields) : TextInput{line, {}, {}, {}});
  }
  if (inputs.empty()) throw Error("no text", "standard input", "give at least one line");
  return inputs;
}

void write_line(std::string_view line) {
  end_progress();
  if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fputc('\n', stdout) == EOF) {
    throw Error(std::string("cannot write: ") + std::strerror(errno), "standard output",
                "free space, or mend the pipe");
  }
}

void flush_output() {
  if (std::fflush(stdout) != 0) {
    throw Error(std::string("cannot write: ") + std::strerror(errno), "standard output",
                "free space, or mend the pipe");
  }
}

namespace {
bool bar_on_screen = false;
}

void end_progress() {
  if (!bar_on_screen) return;
  bar_on_screen = false;
  std::fputs("\r\x1b[K", stderr);
}

void draw_progress(const std::string& label, int64_t done, int64_t total) {
  const int64_t percent = total > 0 ? 100 * done / total : 100;
  constexpr int64_t width = 30;
  const int64_t filled = percent * width / 100;
  std::string bar;
  for (int64_t i = 0; i < width; ++i) bar += i < filled ? "█" : "░";
  std::fprintf(stderr, "\r\x1b[K%s %s %3d%% %lld/%lld", label.c_str(), bar.c_str(), static_cast<int>(percent),
               static_cast<long long>(done), static_cast<long long>(total));
  bar_on_screen = true;
  if (done >= total) end_progress();
}

Progress progress_bar(std::string label) {
  if (isatty(STDERR_FILENO) == 0) return {};
  return [label = std::move(label), last = int64_t{-1}](int64_t done, int64_t total) mutable {
    const int64_t percent = total > 0 ? 100 * done / total : 100;
    if (std::exchange(last, percent) != percent) draw_progress(label, done, total);
  };
}

std::string fit(std::string_view text, size_t columns) {
  std::string storage;
  text = utf8::valid(text, storage);
  std::vector<std::string> characters;
  for (const char* p = text.data(); p < text.data() + text.size();) {
    const char* begin = p;
    const char32_t c = utf8::next(p);
    characters.emplace_back(c < 0x20 || (c >= 0x7f && c < 0xa0) ? " " : std::string(begin, p));
    if (characters.size() > columns) break;
  }
  std::string result;
  const bool cut = characters.size() > columns;
  const size_t kept = cut ? (columns > 0 ? columns - 1 : 0) : characters.size();
  for (size_t i = 0; i < kept; ++i) result += characters[i];
  if (cut && columns > 0) return result + "…";
  return result + std::string(columns - kept, ' ');
}

std::string fixed(double value, int digits) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
  return buffer.data();
}

}  // namespace mica::cli
