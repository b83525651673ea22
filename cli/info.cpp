// mica info: what this program can do here, or what is in a model folder.

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"
#include <sys/stat.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/base/parallel.h"
#include "mica/kernels/cpu/features.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/table.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica::cli {
namespace {

void print_program(bool as_json) {
  if (as_json) {
    JsonWriter json;
    json.begin_object().key("version").value(MICA_VERSION).key("built_with").value(MICA_BUILT_WITH);
    json.key("cpu").value(cpu_features()).key("threads").value(num_threads()).key("models").begin_object();
    for (const Family& family : families_table()) {
      json.key(family.model_type).begin_array();
      for (const Task task : family.tasks) json.value(name(task));
      json.end_array();
    }
    return write_line(json.end_object().end_object().text());
  }
  write_line("mica " MICA_VERSION);
  write_line("built with  " MICA_BUILT_WITH);
  write_line("cpu         " + cpu_features() + ", " + std::to_string(num_threads()) + " threads");
  write_line("");
  std::string table = families_markdown();
  while (table.ends_with('\n')) table.pop_back();
  write_line(table);
}

struct File {
  std::string name;
  int64_t bytes = 0;
};

struct Weights {
  int64_t parameters = 0, tensors = 0;
  std::map<std::string, int64_t> by_dtype;  // elements
};

// Everything that `mica info <model>` tells; what a folder lacks stays empty.
struct Folder {
  std::string path;
  Config config;
  std::optional<Weights> weights;
  std::optional<Tokenizer> tokenizer;
  std::string no_weights, no_tokenizer;  // why
  std::vector<File> files;
};

std::vector<File> files_of(const std::string& folder) {
  std::vector<File> files;
  std::error_code error;
  for (auto it = std::filesystem::recursive_directory_iterator(folder, error);
       !error && it != std::filesystem::recursive_directory_iterator() && files.size() < 1000; it.increment(error)) {
    if (it.depth() > 2) it.disable_recursion_pending();
    std::error_code size_error;
    if (!it->is_regular_file(size_error)) continue;
    const auto bytes = static_cast<int64_t>(it->file_size(size_error));
    files.push_back({it->path().lexically_relative(folder).string(), size_error ? 0 : bytes});
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.name < b.name; });
  return files;
}

Folder inspect(const std::string& model) {
  Folder folder;
  folder.path = resolve_model_folder(model);
  folder.config = AutoConfig::from_pretrained(folder.path);
  folder.files = files_of(folder.path);
  try {
    const Checkpoint checkpoint = Checkpoint::open(folder.path);
    Weights weights;
    for (const std::string_view name : checkpoint.names()) {
      const TensorEntry* entry = checkpoint.find(name);
      weights.parameters += entry->shape.numel();
      weights.by_dtype[std::string(entry->type)] += entry->shape.numel();
      ++weights.tensors;
    }
    folder.weights = weights;
  } catch (const Error& error) {
    folder.no_weights = error.what();
  }
  try {
    folder.tokenizer = Tokenizer::from_pretrained(folder.path);
  } catch (const Error& error) {
    folder.no_tokenizer = error.what();
  }
  return folder;
}

void print_json(const Folder& folder) {
  JsonWriter json;
  json.begin_object().key("path").value(folder.path);
  json.key("model_type").value(folder.config.model_type.value());
  json.key("architectures").begin_array();
  for (const std::string& each : folder.config.texts("architectures")) json.value(each);
  json.end_array().key("config").raw(folder.config.to_json());
  json.key("heads").begin_array();
  for (const Task task : family_of(folder.config.model_type.value()).tasks) json.value(name(task));
  json.end_array().key("weights");
  if (folder.weights) {
    json.begin_object().key("parameters").value(folder.weights->parameters);
    json.key("tensors").value(folder.weights->tensors).key("dtypes").begin_object();
    for (const auto& [dtype, elements] : folder.weights->by_dtype) json.key(dtype).value(elements);
    json.end_object().end_object();
  } else {
    json.null();
  }
  json.key("tokenizer");
  if (folder.tokenizer) {
    const Tokenizer& tokenizer = *folder.tokenizer;
    json.begin_object().key("class").value(tokenizer.tokenizer_class()).key("type").value(tokenizer.model_type());
    json.key("size").value(tokenizer.size()).key("model_max_length");
    tokenizer.model_max_length() ? json.value(*tokenizer.model_max_length()) : json.null();
    json.key("special_tokens").begin_array();
    for (const std::string& token : tokenizer.all_special_tokens()) json.value(token);
    json.end_array().end_object();
  } else {
    json.null();
  }
  json.key("files").begin_array();
  for (const File& file : folder.files) {
    json.begin_object().key("name").value(file.name).key("bytes").value(file.bytes).end_object();
  }
  write_line(json.end_array().end_object().text());
}

std::string megabytes(int64_t bytes) {
  return bytes < 100'000 ? fixed(static_cast<double>(bytes) / 1e3, 1) + " kB"
                         : fixed(static_cast<double>(bytes) / 1e6, 1) + " MB";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "none" : text;
}

void print(const Folder& folder) {
  const Config& config = folder.config;
  write_line(folder.path);
  write_line("model       " + config.model_type.value() + " (" + joined(config.texts("architectures")) + ")");
  std::vector<std::string> heads;
  for (const Task task : family_of(config.model_type.value()).tasks) heads.emplace_back(name(task));
  write_line("heads       " + joined(heads));
  write_line("labels      " + joined(config.labels()));
  if (folder.weights) {
    std::vector<std::string> dtypes;
    for (const auto& [dtype, elements] : folder.weights->by_dtype) {
      dtypes.push_back(fixed(static_cast<double>(elements) / 1e6, 2) + " million " + dtype);
    }
    write_line("weights     " + joined(dtypes) + " in " + std::to_string(folder.weights->tensors) + " tensors");
  } else {
    write_line("weights     none: " + folder.no_weights);
  }
  if (folder.tokenizer) {
    const Tokenizer& tokenizer = *folder.tokenizer;
    const auto limit = tokenizer.model_max_length();
    write_line("tokenizer   " + tokenizer.model_type() + ", " + std::to_string(tokenizer.size()) + " tokens, " +
               (limit ? "at most " + std::to_string(*limit) + " a text" : "no limit") +
               "; special: " + joined(tokenizer.all_special_tokens()));
  } else {
    write_line("tokenizer   none: " + folder.no_tokenizer);
  }
  write_line("files");
  for (const File& file : folder.files) write_line("  " + fit(file.name, 40) + " " + megabytes(file.bytes));
  write_line("config");
  std::string text = config.to_json();
  while (text.ends_with('\n')) text.pop_back();
  write_line(text);
}

void execute(const CommonOptions& options) {
  options.load_options();
  if (options.model.empty()) return print_program(options.json);
  const Folder folder = inspect(options.model);
  options.json ? print_json(folder) : print(folder);
}

}  // namespace

Action info(Arguments& arguments) {
  auto options = std::make_shared<CommonOptions>();
  options->declare(arguments, false);
  return [options] { execute(*options); };
}

}  // namespace mica::cli
