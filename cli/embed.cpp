// mica embed: sentence vectors.

#include <algorithm>
#include <cmath>
#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/models/pipelines/json_writer.h"
#include "mica/models/pipelines/sentence_transformer.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  std::vector<std::string> texts;
  std::optional<std::string> prompt, prompt_name;
  bool similarity = false, normalize = false;
};

std::span<const float> row(const Tensor& matrix, size_t index) {
  const auto size = static_cast<size_t>(matrix.size(1));
  return {matrix.data<float>() + index * size, size};
}

void print_similarity(const Tensor& scores, const std::vector<TextInput>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    std::string line = fit(std::to_string(i), 4) + fit(inputs[i].text, 40);
    for (const float score : row(scores, i)) {
      const std::string number = fixed(static_cast<double>(score), 4);
      line += std::string(number.size() < 9 ? 9 - number.size() : 1, ' ') + number;
    }
    write_line(line);
  }
}

void print_embedding(const std::string& text, std::span<const float> vector) {
  double square = 0;
  for (const float value : vector) square += static_cast<double>(value) * static_cast<double>(value);
  std::string line = "  " + std::to_string(vector.size()) + " numbers, length " + fixed(std::sqrt(square), 4) + ":";
  for (size_t i = 0; i < std::min<size_t>(vector.size(), 6); ++i) {
    line += " " + fixed(static_cast<double>(vector[i]), 4);
  }
  write_line(text);
  write_line(line + (vector.size() > 6 ? " …" : ""));
}

void execute(const Options& options) {
  const LoadOptions load = options.load_options();
  const std::vector<TextInput> inputs = read_inputs(options.texts, options.jsonl, {"text"});
  const SentenceTransformer model(options.model, {.dtype = load.dtype, .device = load.device});
  std::vector<std::string_view> texts;
  for (const TextInput& input : inputs) texts.push_back(input.text);
  const Tensor vectors = model.encode(texts, {.prompt_name = options.prompt_name,
                                              .prompt = options.prompt,
                                              .batch_size = options.batch_size,
                                              .normalize_embeddings = options.normalize,
                                              .progress = progress_bar("embedding")});
  if (options.similarity) {
    const Tensor scores = model.similarity(vectors, vectors);
    if (!options.json) return print_similarity(scores, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      JsonWriter json;
      json.begin_object().key("text").value(inputs[i].text).key("similarity").value(row(scores, i)).end_object();
      write_line(json.text());
    }
    return;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (options.json) {
      JsonWriter json;
      json.begin_object().key("text").value(inputs[i].text).key("embedding").value(row(vectors, i)).end_object();
      write_line(json.text());
    } else {
      print_embedding(inputs[i].text, row(vectors, i));
    }
  }
}

}  // namespace

Action embed(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.texts("text", options->texts, "texts, or - for one a line from standard input");
  arguments.flag("--jsonl", options->jsonl, "standard input holds a JSON value a line: a string or {\"text\"}");
  arguments.flag("--similarity", options->similarity, "print how alike the texts are instead of the vectors");
  arguments.flag("--normalize", options->normalize, "scale vectors to length 1");
  arguments.text("--prompt", options->prompt, "text put before each text");
  arguments.text("--prompt-name", options->prompt_name, "one of the model's prompts");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
