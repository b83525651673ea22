#include "mica/tests/support/golden.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <map>
#include <sstream>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"
#include "mica/models/generation/greedy.h"
#include "mica/tensor/safetensors.h"

namespace mica::golden {
namespace {

uint64_t fnv(const std::string& text) {
  uint64_t h = 0xcbf29ce484222325U;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return h;
}

double draw(uint64_t h, long long i) {
  uint64_t z = h + (static_cast<uint64_t>(i) + 1) * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  z = z ^ (z >> 31);
  return 2 * (static_cast<double>(z >> 40) * 0x1p-24) - 1;
}

// Numbers of the stream times `scale` plus `offset`.
struct Scaled {
  double scale = 1, offset = 0;
};

Scaled weight_rule(const std::string& name, const Shape& shape) {
  if (shape.rank() >= 2) return {std::sqrt(3.0 / static_cast<double>(shape.numel() / shape[0])), 0};
  return {0.1, name.ends_with("bias") ? 0.0 : 1.0};
}

Tensor drawn(const std::string& text, const Shape& shape, const Scaled& rule) {
  const uint64_t h = fnv(text);
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(rule.offset + rule.scale * draw(h, static_cast<long long>(i)));
  }
  return Tensor::from(values, shape);
}

std::string digits(double value) {
  std::ostringstream out;
  out << std::setprecision(8) << value;
  return out.str();
}

// Everything of one case while it runs.
class Runner {
 public:
  Runner(const Case& which, Device device)
      : case_(read_json_file(which.json_path)),
        tensors_(SafeTensors::open(which.tensors_path)),
        salt_(case_.value("salt", "")),
        model_(Model::from_config(AutoConfig::from_json(case_.at("config").dump(), which.json_path),
                                  task_from_name(which.task), {.device = device})) {}

  std::vector<std::string> run() {
    check_parameters();
    if (!failures_.empty()) return failures_;
    fill_parameters();
    const ModelInputs inputs = make_inputs();
    {
      const NoGrad no_grad;  // the fused path
      compare_outputs("fused", model_(inputs));
      compare_outputs("fused, weights packed", model_(inputs));
    }
    compare_outputs("taped", model_(inputs));
    check_loss_and_gradients(inputs);
    check_generation(inputs);
    return failures_;
  }

 private:
  void fail(const std::string& line) { failures_.push_back(line); }

  void check_parameters() {
    std::map<std::string, Shape> wanted;
    for (const Json& entry : case_.at("parameters")) {
      wanted[entry[0].get<std::string>()] = Shape(entry[1].get<std::vector<int64_t>>());
    }
    std::map<std::string, Shape> have;
    for (const auto& [name, tensor] : model_.parameters()) {
      if (!have.emplace(name, tensor.shape()).second) fail("parameter twice: " + name);
    }
    for (const auto& [name, shape] : wanted) {
      if (have.count(name) == 0)
        fail("parameter missing: " + name);
      else if (!(have[name] == shape))
        fail("parameter " + name + " is " + to_string(have[name]) + ", not " + to_string(shape));
    }
    for (const auto& [name, shape] : have) {
      if (wanted.count(name) == 0) fail("parameter too many: " + name);
    }
  }

  void fill_parameters() {
    const NoGrad no_grad;
    for (const auto& [name, tensor] : model_.parameters()) {
      Scaled rule = weight_rule(name, tensor.shape());
      if (case_.contains("fill") && case_["fill"].contains(name)) {
        const Json& fill = case_["fill"][name];
        rule = {fill.value("scale", 1.0), fill.value("offset", 0.0)};
      }
      tensor.copy_(drawn(salt_ + name, tensor.shape(), rule));
    }
  }

  Tensor stored(const std::string& name) { return tensors_.tensor(name); }

  ModelInputs make_inputs() {
    ModelInputs inputs;
    for (const auto& [name, info] : case_.at("inputs").items()) inputs[name] = input_tensor(name, info);
    return inputs;
  }

  Tensor input_tensor(const std::string& name, const Json& info) {
    if (!info.contains("fill")) return stored("input." + name);
    const Shape shape(info.at("shape").get<std::vector<int64_t>>());
    const uint64_t h = fnv(salt_ + "input." + name);
    std::vector<float> values(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(info["fill"].value("offset", 0.0) +
                                     info["fill"].value("scale", 1.0) * draw(h, static_cast<long long>(i)));
    }
    return Tensor::from(values, shape);
  }

  void compare_outputs(const std::string& how, const ModelOutput& output) {
    std::map<std::string, Tensor> have;
    for (const auto& [name, tensor] : output.named()) have[name] = tensor;
    for (const auto& [name, info] : case_.at("outputs").items()) {
      if (have.count(name) == 0) {
        fail(how + ": output missing: " + name);
        continue;
      }
      const Tensor wanted = stored("output." + name);
      if (!(have[name].shape() == Shape(info.at("shape").get<std::vector<int64_t>>()))) {
        fail(how + ": output " + name + " has shape " + to_string(have[name].shape()));
        continue;
      }
      const std::vector<double> a = have[name].to_vector<double>();
      const std::vector<double> b = wanted.to_vector<double>();
      const double tolerance =
          std::max(10 * info.value("noise", 0.0), 1e-5 * std::max(1.0, info.value("max_abs", 0.0)));
      const size_t stride =
          case_.contains("sample") && case_["sample"].contains(name) ? case_["sample"][name].get<size_t>() : 1;
      double worst = 0;
      for (size_t i = 0; i < b.size(); ++i) {
        const double difference = std::abs(a.at(i * stride) - b[i]);
        worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
      }
      if (!(worst <= tolerance)) {
        fail(how + ": output " + name + " differs by " + std::to_string(worst) + ", tolerance " +
             std::to_string(tolerance));
      }
    }
  }

  void check_loss_and_gradients(const ModelInputs& inputs) {
    if (!case_.contains("loss")) return;
    const std::string objective = case_.at("objective").get<std::string>();
    model_.zero_grad();
    double loss = 0;
    if (objective == "labels") {
      ModelInputs with_labels = inputs;
      for (const auto& [name, info] : case_.at("labels").items()) with_labels[name] = stored("label." + name);
      if (case_.contains("labels_without")) {
        for (const Json& name : case_["labels_without"]) with_labels[name.get<std::string>()] = Tensor();
      }
      const ModelOutput output = model_(with_labels);
      if (!output.loss.defined()) return fail("no loss");
      loss = output.loss.item<double>();
      backward(output.loss);
    } else {
      std::map<std::string, Tensor> have;
      for (const auto& [name, tensor] : model_(inputs).named()) have[name] = tensor;
      std::vector<Tensor> outputs;
      std::vector<Tensor> gradients;
      for (const Json& entry : case_.at("projected")) {
        const std::string name = entry.get<std::string>();
        const Tensor& output = have.at(name);
        const uint64_t h = fnv(salt_ + name + "#out");
        const double n = static_cast<double>(output.numel());
        std::vector<float> gradient(static_cast<size_t>(output.numel()));
        const std::vector<double> values = output.to_vector<double>();
        for (size_t i = 0; i < gradient.size(); ++i) {
          const double weight = draw(h, static_cast<long long>(i)) / n;
          gradient[i] = static_cast<float>(weight);
          loss += values[i] * weight;
        }
        outputs.push_back(output);
        gradients.push_back(Tensor::from(gradient, output.shape(), output.device()));
      }
      backward(outputs, gradients);
    }
    const double wanted = case_["loss"].at("value").get<double>();
    const double tolerance = std::max(10 * case_["loss"].value("noise", 0.0), 1e-5 * std::max(1.0, std::abs(wanted)));
    if (!(std::abs(loss - wanted) <= tolerance)) {
      fail("loss is " + std::to_string(loss) + ", not " + std::to_string(wanted));
    }
    check_gradients();
  }

  void check_gradients() {
    const Json& grads = case_.at("grads");
    for (const auto& [name, tensor] : model_.parameters()) {
      if (!grads.contains(name)) continue;
      const Json& wanted = grads[name];
      const uint64_t h = fnv(salt_ + name + "#grad");
      double square = 0;
      double dot = 0;
      if (tensor.grad().defined()) {
        const std::vector<double> values = tensor.grad().to_vector<double>();
        for (size_t i = 0; i < values.size(); ++i) {
          square += values[i] * values[i];
          dot += values[i] * draw(h, static_cast<long long>(i));
        }
      }
      const double norm = std::sqrt(square);
      const double noise = wanted.size() > 2 ? wanted[2].get<double>() : 0;
      // Where the reference's gradient cancels to exactly zero, rounding decides what is left of terms of order one:
      // a few units in the last place of a float32 sum of those.
      const double rounding = 4 * 0x1p-23 * (wanted[0].get<double>() == 0 && square > 0 ? 1.0 : 0.0);
      const double tolerance = std::max({10 * noise, 1e-3 * wanted[0].get<double>(), rounding});
      if (!(std::abs(norm - wanted[0].get<double>()) <= tolerance) ||
          !(std::abs(dot - wanted[1].get<double>()) <= tolerance)) {
        fail("gradient of " + name + " has norm " + digits(norm) + " and dot " + digits(dot) + ", not " +
             digits(wanted[0].get<double>()) + " and " + digits(wanted[1].get<double>()));
      }
    }
  }

  void check_generation(ModelInputs inputs) {
    if (!case_.contains("generate")) return;
    const Json& generate = case_["generate"];
    if (tensors_.find("generate.input_ids") != nullptr) inputs.input_ids = stored("generate.input_ids");
    inputs.attention_mask = Tensor();
    const Tensor ids = greedy(model_, inputs, generate.at("new_tokens").get<int64_t>());
    if (ids.to_vector<int64_t>() != stored("generate.ids").to_vector<int64_t>()) {
      fail("greedy tokens differ (margin " + std::to_string(generate.value("margin", 0.0)) + ")");
    }
  }

  Json case_;
  SafeTensors tensors_;
  std::string salt_;
  Model model_;
  std::vector<std::string> failures_;
};

}  // namespace

void fill_by_rule(const Model& model) {
  const NoGrad no_grad;
  for (const auto& [name, tensor] : model.parameters()) {
    tensor.copy_(drawn(name, tensor.shape(), weight_rule(name, tensor.shape())));
  }
}

double uniform(const std::string& text, long long i) {
  return draw(fnv(text), i);
}

std::vector<Case> find_cases(const std::string& folder) {
  std::vector<Case> cases;
  for (const auto& family : std::filesystem::directory_iterator(folder)) {
    if (!family.is_directory()) continue;
    for (const auto& file : std::filesystem::directory_iterator(family)) {
      if (file.path().extension() != ".json") continue;
      const Json content = read_json_file(file.path().string());
      if (content.contains("alias_of")) continue;
      std::filesystem::path tensors = file.path();
      tensors.replace_extension(".safetensors");
      cases.push_back({family.path().filename().string(), content.at("task").get<std::string>(),
                       file.path().stem().string(), file.path().string(), tensors.string()});
    }
  }
  std::sort(cases.begin(), cases.end(), [](const Case& a, const Case& b) { return a.json_path < b.json_path; });
  return cases;
}

std::vector<std::string> run(const Case& which, Device device) {
  try {
    return Runner(which, device).run();
  } catch (const Error& error) {
    return {error.what()};
  }
}

}  // namespace mica::golden
