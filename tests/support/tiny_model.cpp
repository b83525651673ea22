#include "tests/support/tiny_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <vector>

#include "tests/support/golden.h"
#include <unistd.h>

#include "mica/base/file.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"
#include "mica/tensor/safetensors.h"

namespace mica::tiny {
namespace {

// scale * stream + offset, as the golden cases make their weights; `seed` names the stream, `name` decides the range.
Tensor made(const std::string& seed, const std::string& name, const Shape& shape, double factor) {
  const bool matrix = shape.rank() >= 2;
  const double scale = factor * (matrix ? std::sqrt(3.0 / static_cast<double>(shape.numel() / shape[0])) : 0.1);
  const double offset = matrix || name.ends_with("bias") ? 0 : 1;
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(offset + scale * golden::uniform(seed, static_cast<long long>(i)));
  }
  return Tensor::from(values, shape);
}

void write_files(const std::string& folder, const Json& spec) {
  const Json files = spec.value("files", Json::object());
  for (const auto& [name, content] : files.items()) {
    const std::string path = folder + "/" + name;
    make_directories(std::filesystem::path(path).parent_path().string());
    write_text(path, content.dump());
  }
  const Json weights = spec.value("weights", Json::object());
  for (const auto& [file, tensors] : weights.items()) {
    NamedTensors named;
    for (const auto& [name, shape] : tensors.items()) {
      named.emplace_back(name, made(file + "#" + name, name, Shape(shape.get<std::vector<int64_t>>()), 1));
    }
    save_safetensors(folder + "/" + file, named);
  }
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  static std::atomic<int> count{0};
  path_ = (std::filesystem::temp_directory_path() /
           ("mica_test_" + std::to_string(getpid()) + "_" + std::to_string(count++)))
              .string();
  std::filesystem::create_directories(path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Json read_data(const std::string& name) {
  return read_json_file(std::string(MICA_SOURCE_DIR) + "/tests/pipelines/data/" + name + ".json");
}

void write_text(const std::string& path, std::string_view content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << content;
}

namespace {

// config.json and weights. Saving syncs the disk: each model is saved once a process, and copied from then on.
void copy_network(const std::string& folder, const Json& spec) {
  static const TemporaryFolder cache;
  static std::map<std::string, std::string> saved;
  const std::string key = spec.at("config").dump() + spec.at("task").dump() + spec.at("scales").dump();
  const auto [entry, is_new] = saved.try_emplace(key, cache / std::to_string(saved.size()));
  const auto copy = [&] {
    using Options = std::filesystem::copy_options;
    std::filesystem::copy(entry->second, folder, Options::overwrite_existing | Options::recursive);
  };
  if (!is_new) return copy();
  const Model model = Model::from_config(AutoConfig::from_json(spec.at("config").dump()),
                                         task_from_name(spec.at("task").get<std::string>()));
  for (const auto& [name, tensor] : model.parameters()) {
    const NoGrad no_grad;
    tensor.copy_(made(name, name, tensor.shape(), spec.at("scales").value(name, 1.0)));
  }
  model.save_pretrained(entry->second);
  copy();
}

}  // namespace

void write_model(const std::string& folder, const Json& data, size_t index) {
  const Json& spec = data.at("models")[index].at("model");
  copy_network(folder, spec);
  std::string vocabulary;
  for (const Json& token : data.at("vocab")) vocabulary += token.get<std::string>() + "\n";
  write_text(folder + "/vocab.txt", vocabulary);
  write_text(folder + "/tokenizer_config.json", data.at("tokenizer").dump());
  write_files(folder, spec);
}

void write_bert(const std::string& folder, const std::string& task, const std::vector<std::string>& labels) {
  Json data = read_data("text_classification");
  Json& spec = data["models"][0]["model"];
  spec["task"] = task;
  spec["config"].erase("id2label");
  spec["config"].erase("label2id");
  for (size_t i = 0; i < labels.size(); ++i) spec["config"]["id2label"][std::to_string(i)] = labels[i];
  write_model(folder, data, 0);
}

std::string difference(const Json& have, const Json& wanted, double tolerance, const std::string& path) {
  const auto show = [](const Json& value) { return value.dump().substr(0, 100); };
  if (have.is_number() && wanted.is_number()) {
    const double gap = std::abs(have.get<double>() - wanted.get<double>());
    if (gap <= tolerance * std::max(1.0, std::abs(wanted.get<double>()))) return "";
    return path + " is " + show(have) + ", not " + show(wanted);
  }
  if (have.is_object() && wanted.is_object()) {
    if (have.size() != wanted.size()) return path + " is " + show(have) + ", not " + show(wanted);
    for (const auto& [key, value] : wanted.items()) {
      if (!have.contains(key)) return path + "." + key + " is missing";
      std::string inner = difference(have[key], value, tolerance, path + "." + key);
      if (!inner.empty()) return inner;
    }
    return "";
  }
  if (have.is_array() && wanted.is_array() && have.size() == wanted.size()) {
    for (size_t i = 0; i < have.size(); ++i) {
      std::string inner = difference(have[i], wanted[i], tolerance, path + "[" + std::to_string(i) + "]");
      if (!inner.empty()) return inner;
    }
    return "";
  }
  return have == wanted ? "" : path + " is " + show(have) + ", not " + show(wanted);
}

}  // namespace mica::tiny
