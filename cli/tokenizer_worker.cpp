#include "cli/tokenizer_worker.h"

#include <chrono>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "cli/common.h"
#include "cli/worker.h"

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/tokenizers/readers/fields.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica::cli {
namespace {

constexpr int64_t kMostRuns = 1'000'000;

class TokenizerWorker {
 public:
  explicit TokenizerWorker(std::string model) : name_(std::move(model)) {}

  std::string answer(Fields& request, const std::string& op) {
    JsonWriter json;
    json.begin_object();
    const int64_t runs = request.integer("runs", 1, kMostRuns, 1);
    if (op == "load") {
      write(json, time(runs, [&] { tokenizer_.emplace(AutoTokenizer::from_pretrained(name_)); }));
    } else if (op == "texts") {
      read_texts(request.string("path"));
      int64_t bytes = 0;
      for (const std::string& text : texts_) bytes += static_cast<int64_t>(text.size());
      json.key("texts").value(static_cast<int64_t>(texts_.size())).key("bytes").value(bytes);
    } else if (op == "encode") {
      write(json, encode(request, runs));
    } else if (op == "decode") {
      int64_t tokens = 0;
      write(json, decode(runs, &tokens));
      json.key("tokens").value(tokens);
    } else if (op == "save") {
      save(request.string("path"));
    } else {
      request.fail("unknown op \"" + printable(op) + "\"", "use load, texts, encode, decode, save or quit");
    }
    json.end_object();
    return json.text();
  }

 private:
  template <typename Call>
  static std::vector<double> time(int64_t runs, Call call) {
    std::vector<double> ms;
    for (int64_t i = 0; i < runs; ++i) {
      const auto start = std::chrono::steady_clock::now();
      call();
      ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    return ms;
  }

  static void write(JsonWriter& json, const std::vector<double>& ms) {
    json.key("ms").begin_array();
    for (const double each : ms) json.value(each);
    json.end_array();
  }

  const Tokenizer& tokenizer() {
    if (!tokenizer_) tokenizer_.emplace(AutoTokenizer::from_pretrained(name_));
    return *tokenizer_;
  }

  void read_texts(const std::string& path) {
    texts_.clear();
    std::ifstream lines(path);
    if (!lines) throw Error("cannot read", path, "give a file with a JSON string a line");
    for (std::string line; std::getline(lines, line);) {
      const Json text = parse_json(line, path);
      if (!text.is_string()) throw Error("a line is no JSON string", path, "give a JSON string a line");
      texts_.push_back(text.get<std::string>());
    }
  }

  std::vector<double> encode(Fields& request, int64_t runs) {
    const Tokenizer& with = tokenizer();
    TokenizerOptions options{.add_special_tokens = false};
    options.num_threads = static_cast<int>(request.integer("threads", 1, 1024, 1));
    if (request.boolean("batch", false)) return time(runs, [&] { batch_ = with(texts_, options); });
    return time(runs, [&] {
      for (const std::string& text : texts_) batch_ = with(text, options);
    });
  }

  std::vector<double> decode(int64_t runs, int64_t* tokens) {
    const Tokenizer& with = tokenizer();
    std::vector<std::vector<int32_t>> ids;
    for (const std::string& text : texts_) {
      ids.push_back(with.encode(text, {.add_special_tokens = false}));
      *tokens += static_cast<int64_t>(ids.back().size());
    }
    return time(runs, [&] {
      for (const auto& row : ids) decoded_ = with.decode(row);
    });
  }

  void save(const std::string& path) {
    std::string all;
    for (const std::string& text : texts_) {
      const BatchEncoding encoding = tokenizer()(text, {.add_special_tokens = false});
      JsonWriter json;
      json.begin_object().key("ids").begin_array();
      for (const int32_t id : encoding.input_ids[0]) json.value(static_cast<int64_t>(id));
      json.end_array().key("offsets").begin_array();
      for (const CharSpan span : encoding.offsets()) {
        json.begin_array().value(static_cast<int64_t>(span.begin)).value(static_cast<int64_t>(span.end)).end_array();
      }
      json.end_array().end_object();
      all += json.text() + '\n';
    }
    write_file_atomically(path, all);
  }

  std::string name_;
  std::optional<Tokenizer> tokenizer_;
  std::vector<std::string> texts_;
  BatchEncoding batch_;
  std::string decoded_;
};

}  // namespace

void serve_tokenizer(const std::string& model) {
  TokenizerWorker worker(model);
  serve([&](Fields& request, const std::string& op) { return worker.answer(request, op); });
}

}  // namespace mica::cli
