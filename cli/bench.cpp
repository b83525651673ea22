// mica bench: how fast this model is on this machine, and how much memory it takes.

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>

#include "cli/common.h"
#include "cli/subcommands.h"
#include "cli/tokenizer_worker.h"
#include "cli/worker.h"
#include <sys/resource.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/parallel.h"
#include "mica/kernels/backend.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  bool worker = false, tokenizer = false;
  int64_t seconds = 1;
  std::string text;
};

struct Measurement {
  int64_t batch = 0, tokens = 0, runs = 0;
  double median_ms = 0, best_ms = 0;

  double texts_per_second() const { return static_cast<double>(batch) / median_ms * 1e3; }
  double tokens_per_second() const { return texts_per_second() * static_cast<double>(tokens); }
};

// Ids spread over the vocabulary, none of which is padding.
ModelInputs make_inputs(const Model& model, int64_t batch, int64_t tokens) {
  const int64_t vocabulary = model.config().vocab_size;
  const int64_t padding = model.config().integer("pad_token_id", -1);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < batch * tokens; ++i) {
    const int64_t id = (i * 7919 + 1013) % vocabulary;
    ids.push_back(id == padding ? (id + 1) % vocabulary : id);
  }
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(ids, {batch, tokens});
  return inputs;
}

// The median time of a call that runs over and over for so many seconds.
template <typename Call>
double median_ms(double seconds, const Call& call) {
  using Clock = std::chrono::steady_clock;
  call();  // fills the caches
  std::vector<double> ms;
  double total = 0;
  while (ms.size() < 3 || (total < seconds * 1e3 && ms.size() < 10'000)) {
    const auto start = Clock::now();
    call();
    ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    total += ms.back();
  }
  std::sort(ms.begin(), ms.end());
  return ms[ms.size() / 2];
}

Measurement measure(const Model& model, int64_t batch, int64_t tokens, double seconds) {
  using Clock = std::chrono::steady_clock;
  const NoGrad no_grad;
  const ModelInputs inputs = make_inputs(model, batch, tokens);
  const auto call = [&] {
    const auto start = Clock::now();
    model(inputs);
    backend(model.device()).queue().synchronize();
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  };
  call();  // packs the weights, fills the caches
  std::vector<double> ms;
  double total = 0;
  while (ms.size() < 3 || (total < seconds * 1e3 && ms.size() < 10'000)) {
    ms.push_back(call());
    total += ms.back();
  }
  std::sort(ms.begin(), ms.end());
  return {batch, tokens, static_cast<int64_t>(ms.size()), ms[ms.size() / 2], ms[0]};
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::string right(const std::string& text, size_t width) {
  return std::string(text.size() < width ? width - text.size() : 1, ' ') + text;
}

void print_header(const Model& model, const std::string& dtype) {
  write_line(model.config().model_type.value() + ", " + fixed(static_cast<double>(model.num_parameters()) / 1e6, 1) +
             " million parameters, " + (dtype.empty() ? "dtype of the weights" : dtype) + ", " +
             std::to_string(num_threads()) + " threads");
  write_line("batch x tokens   median ms     best ms      texts/s     tokens/s");
}

void print(const Measurement& m) {
  write_line(fit(std::to_string(m.batch) + " x " + std::to_string(m.tokens), 14) + right(fixed(m.median_ms, 2), 12) +
             right(fixed(m.best_ms, 2), 12) + right(fixed(m.texts_per_second(), 1), 13) +
             right(fixed(m.tokens_per_second(), 0), 13));
  flush_output();
}

void print_json(const Measurement& m) {
  JsonWriter json;
  json.begin_object().key("batch").value(m.batch).key("tokens").value(m.tokens).key("runs").value(m.runs);
  json.key("median_ms").value(m.median_ms).key("best_ms").value(m.best_ms);
  json.key("texts_per_second").value(m.texts_per_second()).key("tokens_per_second").value(m.tokens_per_second());
  json.key("peak_mb").value(peak_megabytes()).end_object();
  write_line(json.text());
  flush_output();
}

// The tokenizer's load time, and its speed on a file: as one text, and line by line.
void measure_tokenizer(const Options& options) {
  if (options.text.empty()) throw Error("--tokenizer without a text", "mica bench", "name a file: --text FILE");
  const std::string text = read_file(options.text);
  if (text.empty()) throw Error("the text is empty", options.text, "name another file");
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    lines.push_back(text.substr(at, end - at));
    at = end;
  }
  const auto seconds = static_cast<double>(options.seconds);
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  const double load_ms = median_ms(seconds, [&] { AutoTokenizer::from_pretrained(options.model); });
  const Tokenizer tokenizer = AutoTokenizer::from_pretrained(options.model);
  const std::vector<int32_t> ids = tokenizer.encode(text, {.add_special_tokens = false});
  const double whole_ms = median_ms(seconds, [&] { tokenizer(text); });
  const double lines_ms = median_ms(seconds, [&] { tokenizer(lines, {.num_threads = num_threads()}); });
  const double decode_ms = median_ms(seconds, [&] { tokenizer.decode(ids); });
  const double tokens = static_cast<double>(ids.size()) / 1e6;
  if (options.json) {
    JsonWriter json;
    json.begin_object().key("load_ms").value(load_ms).key("whole_mb_per_second").value(megabytes / whole_ms * 1e3);
    json.key("lines_mb_per_second").value(megabytes / lines_ms * 1e3).key("tokens").value(int64_t(ids.size()));
    json.key("decode_million_tokens_per_second").value(tokens / decode_ms * 1e3).end_object();
    return write_line(json.text());
  }
  write_line("load                  " + right(fixed(load_ms, 2), 10) + " ms");
  write_line("encode, one text      " + right(fixed(megabytes / whole_ms * 1e3, 1), 10) + " MB/s");
  write_line("encode, lines at once " + right(fixed(megabytes / lines_ms * 1e3, 1), 10) + " MB/s on " +
             std::to_string(num_threads()) + " threads");
  write_line("decode                " + right(fixed(tokens / decode_ms * 1e3, 1), 10) + " million tokens/s");
}

void execute(const Options& options) {
  LoadOptions load = options.load_options();
  if (options.worker && options.tokenizer) return serve_tokenizer(options.model);
  if (options.tokenizer) return measure_tokenizer(options);
  if (options.worker) return serve_worker(options.model, load);
  load.add_pooling_layer = false;
  const Model model = Model::from_pretrained(options.model, Task::base, load);
  if (!options.json) print_header(model, options.dtype);
  constexpr std::array<std::pair<int64_t, int64_t>, 5> sizes{{{1, 16}, {1, 128}, {8, 128}, {32, 128}, {1, 512}}};
  for (const auto& [batch, tokens] : sizes) {
    if (model.max_tokens() > 0 && tokens > model.max_tokens()) continue;
    const Measurement result = measure(model, batch, tokens, static_cast<double>(options.seconds));
    options.json ? print_json(result) : print(result);
  }
  if (!options.json) write_line("peak memory " + fixed(peak_megabytes(), 1) + " MB");
}

}  // namespace

Action bench(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.integer("--seconds", options->seconds, 1, 3600, "time for each size (default: 1)");
  arguments.flag("--tokenizer", options->tokenizer, "measure the tokenizer instead, on --text");
  arguments.text("--text", options->text, "for --tokenizer: a file of UTF-8 text");
  arguments.flag("--worker", options->worker,
                 "answer timing requests, a JSON object a line (see cli/worker.h, cli/tokenizer_worker.h)");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
