#include "cli/worker.h"

#include <chrono>
#include <iostream>
#include <optional>
#include <vector>

#include "cli/common.h"

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/kernels/backend.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/generation/generate.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/models/pipelines/sentence_transformer.h"
#include "mica/tensor/safetensors.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica::cli {
namespace {

constexpr int64_t kMostRuns = 1'000'000;
constexpr int64_t kMostTokens = 1 << 24;

class Worker {
 public:
  Worker(std::string model, const LoadOptions& options) : name_(std::move(model)), options_(options) {}

  std::string answer(Fields& request, const std::string& op) {
    const int64_t runs = request.integer("runs", 1, kMostRuns, 1);
    if (op == "forward") return timings(forward(request, runs));
    if (op == "encode") return timings(encode(request, runs));
    if (op == "generate") return generate(request);
    request.fail("unknown op \"" + printable(op) + "\"", "use forward, encode, generate or quit");
  }

 private:
  template <typename Call>
  std::vector<double> time(int64_t runs, Call call) {
    std::vector<double> ms;
    for (int64_t i = 0; i < runs; ++i) {
      const auto start = std::chrono::steady_clock::now();
      call();
      backend(options_.device).queue().synchronize();
      ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    return ms;
  }

  static std::string timings(const std::vector<double>& ms) {
    JsonWriter writer;
    writer.begin_object().key("ms").begin_array();
    for (const double each : ms) writer.value(each);
    writer.end_array().end_object();
    return writer.text();
  }

  const SentenceTransformer& sentences() {
    if (!sentences_) sentences_.emplace(name_, SentenceTransformerOptions{options_.dtype, options_.device});
    return *sentences_;
  }

  // The encoder alone; shared with the sentence transformer where the folder opens as one.
  const Model& model() {
    if (sentences_) return sentences_->model();
    if (model_) return *model_;
    try {
      return sentences().model();
    } catch (const Error&) {
      LoadOptions options = options_;
      options.add_pooling_layer = false;
      model_ = Model::from_pretrained(name_, Task::base, options);
    }
    return *model_;
  }

  std::vector<double> forward(Fields& request, int64_t runs) {
    const int64_t batch = request.integer("batch", 1, kMostTokens);
    const int64_t tokens = request.integer("tokens", 1, kMostTokens);
    std::vector<int64_t> ids;
    for (const Json& row : request.raw("ids")) {
      for (const Json& id : row) {
        if (!id.is_number_integer()) request.fail("ids hold something that is no integer", "give token ids");
        ids.push_back(id.get<int64_t>());
      }
    }
    if (static_cast<int64_t>(ids.size()) != batch * tokens) {
      request.fail(std::to_string(ids.size()) + " ids", "give batch rows of tokens ids");
    }
    const NoGrad no_grad;
    ModelInputs inputs;
    inputs.input_ids = Tensor::from(ids, {batch, tokens});
    const Model& network = model();
    ModelOutput output;
    std::vector<double> ms = time(runs, [&] { output = network(inputs); });
    save(request, "last_hidden_state", output.last_hidden_state);
    return ms;
  }

  std::vector<double> encode(Fields& request, int64_t runs) {
    std::vector<std::string> texts;
    for (const Json& text : request.raw("sentences")) {
      if (!text.is_string()) request.fail("sentences hold something that is no string", "give texts");
      texts.push_back(text.get<std::string>());
    }
    const int64_t batch_size = request.integer("batch_size", 1, kMostTokens, 32);
    const SentenceTransformer& encoder = sentences();
    Tensor vectors;
    std::vector<double> ms = time(runs, [&] { vectors = encoder.encode(texts, {.batch_size = batch_size}); });
    save(request, "embeddings", vectors);
    return ms;
  }

  // Texts that go on from prompts of any lengths, by exactly `new_tokens`: milliseconds, and the tokens.
  std::string generate(Fields& request) {
    const int64_t count = request.integer("new_tokens", 1, kMostTokens);
    const int64_t beams = request.integer("beams", 1, 64, 1);
    std::vector<int64_t> ids;
    ModelInputs inputs;
    for (const Json& row : request.raw("ids")) {
      for (const Json& id : row) {
        if (!id.is_number_integer()) request.fail("ids hold something that is no integer", "give token ids");
        ids.push_back(id.get<int64_t>());
      }
      inputs.lengths.push_back(static_cast<int64_t>(row.size()));
    }
    inputs.input_ids = Tensor::from(ids);
    if (!generator_) {
      const Config config = AutoConfig::from_pretrained(name_);
      generator_ = Model::from_pretrained(name_, config.flag("is_encoder_decoder") ? Task::seq2seq_lm : Task::causal_lm,
                                          options_);
    }
    const GenerationConfig settings{.max_new_tokens = count, .min_new_tokens = count, .num_beams = beams};
    GenerationOutput output;
    const std::vector<double> ms = time(1, [&] { output = generator_->generate(inputs, settings); });
    JsonWriter writer;
    writer.begin_object().key("ms").value(ms[0]).key("tokens").begin_array();
    for (const std::vector<int64_t>& row : output.tokens) {
      writer.begin_array();
      for (const int64_t token : row) writer.value(token);
      writer.end_array();
    }
    writer.end_array().end_object();
    return writer.text();
  }

  static void save(Fields& request, const char* name, const Tensor& tensor) {
    const auto path = request.optional_string("output");
    if (path) save_safetensors(*path, {{name, tensor}});
  }

  std::string name_;
  LoadOptions options_;
  std::optional<SentenceTransformer> sentences_;
  std::optional<Model> model_, generator_;
};

}  // namespace

void serve(const std::function<std::string(Fields& request, const std::string& op)>& answer) {
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      const Json json = parse_json(line, "request");
      Fields request(json, "request", "request");
      const std::string op = request.string("op");
      if (op == "quit") return;
      write_line(answer(request, op));
    } catch (const Error& error) {
      JsonWriter writer;
      writer.begin_object().key("error").value(error.what()).end_object();
      write_line(writer.text());
    }
    flush_output();
  }
}

void serve_worker(const std::string& model, const LoadOptions& options) {
  Worker worker(model, options);
  serve([&](Fields& request, const std::string& op) { return worker.answer(request, op); });
}

}  // namespace mica::cli
