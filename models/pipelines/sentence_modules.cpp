#include "mica/models/pipelines/sentence_modules.h"

#include <array>
#include <cmath>
#include <utility>

#include "mica/autograd/activation.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/norm.h"
#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/kernels/activation.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {
namespace {

constexpr int64_t kMaxSize = 1 << 20;  // of a vector, in elements

void expect_size(int64_t have, int64_t wanted, const std::string& where) {
  if (have != wanted) {
    throw Error("sentence vectors have size " + std::to_string(have) + ", this module takes " + std::to_string(wanted),
                where, "let modules.json name modules that fit");
  }
}

Tensor read_weight(const Checkpoint& checkpoint, const std::string& folder, const char* name, const Shape& shape,
                   Device device) {
  const TensorEntry* entry = checkpoint.find(name);
  if (entry == nullptr) {
    throw Error("tensor \"" + std::string(name) + "\" is missing", folder,
                "use the weights that belong to config.json");
  }
  if (!(entry->shape == shape)) {
    throw Error("tensor \"" + std::string(name) + "\" is " + to_string(entry->shape) + ", by config.json it is " +
                    to_string(shape),
                folder, "use the weights that belong to config.json");
  }
  const Tensor weight = checkpoint.tensor(name).to(DType::float32).to(device);
  weight.set_requires_grad();
  return weight;
}

// The class of torch.nn that config.json names ("torch.nn.modules.activation.Tanh").
Activation torch_activation(Fields& fields, const std::string& path) {
  constexpr std::array<std::pair<std::string_view, Activation>, 9> known{{
      {"Tanh", Activation::tanh},
      {"Identity", Activation::none},
      {"ReLU", Activation::relu},
      {"GELU", Activation::gelu},
      {"SiLU", Activation::silu},
      {"Sigmoid", Activation::sigmoid},
      {"Mish", Activation::mish},
      {"ELU", Activation::elu},
      {"Dropout", Activation::none},
  }};
  const size_t dot = path.rfind('.');
  if (path.starts_with("torch.nn.") && dot != std::string::npos) {
    for (const auto& [name, activation] : known) {
      if (path.substr(dot + 1) == name) return activation;
    }
  }
  std::string names;
  for (const auto& [name, activation] : known) names += (names.empty() ? "" : ", ") + std::string(name);
  fields.fail("key \"activation_function\" names \"" + printable(path) + "\"", "use a class of torch.nn: " + names);
}

class Dense : public SentenceModule {
 public:
  Dense(const std::string& folder, Device device) : where_(folder) {
    const std::string path = join_path(folder, "config.json");
    const Json json = read_json_file(path);
    Fields fields(json, path, "dense");
    in_ = fields.integer("in_features", 1, kMaxSize);
    out_ = fields.integer("out_features", 1, kMaxSize);
    activation_name_ = fields.string("activation_function", "torch.nn.modules.activation.Tanh");
    activation_ = torch_activation(fields, activation_name_);
    for (const char* key : {"module_input_name", "module_output_name"}) {
      const std::string feature = fields.string(key, "sentence_embedding");
      if (feature != "sentence_embedding") {
        fields.fail("key \"" + std::string(key) + "\" names \"" + printable(feature) + "\"",
                    "only sentence_embedding is supported");
      }
    }
    const Checkpoint weights = Checkpoint::open(folder);
    weight_ = read_weight(weights, folder, "linear.weight", {out_, in_}, device);
    if (fields.boolean("bias", true)) bias_ = read_weight(weights, folder, "linear.bias", {out_}, device);
    residual_ = fields.boolean("use_residual", false);
    if (residual_ && in_ != out_) projection_ = read_weight(weights, folder, "residual.weight", {out_, in_}, device);
  }

  std::string_view kind() const override { return "Dense"; }

  Tensor operator()(const Tensor& x, bool /*training*/) const override {
    const Tensor y = activate(linear(x, weight_, bias_), activation_);
    if (!residual_) return y;
    return add(y, projection_.defined() ? linear(x, projection_) : x);
  }

  int64_t output_size(int64_t size) const override {
    expect_size(size, in_, where_);
    return out_;
  }

  NamedTensors parameters() const override {
    NamedTensors all{{"linear.weight", weight_}};
    if (bias_.defined()) all.emplace_back("linear.bias", bias_);
    if (projection_.defined()) all.emplace_back("residual.weight", projection_);
    return all;
  }

  Json config() const override {
    Json json = {{"in_features", in_},
                 {"out_features", out_},
                 {"bias", bias_.defined()},
                 {"activation_function", activation_name_}};
    if (residual_) json["use_residual"] = true;
    return json;
  }

 private:
  std::string where_, activation_name_;
  int64_t in_ = 0, out_ = 0;
  Activation activation_ = Activation::none;
  bool residual_ = false;
  Tensor weight_, bias_, projection_;
};

class SentenceLayerNorm : public SentenceModule {
 public:
  SentenceLayerNorm(const std::string& folder, Device device) : where_(folder) {
    const std::string path = join_path(folder, "config.json");
    const Json json = read_json_file(path);
    size_ = Fields(json, path, "layer_norm").integer("dimension", 1, kMaxSize);
    const Checkpoint weights = Checkpoint::open(folder);
    weight_ = read_weight(weights, folder, "norm.weight", {size_}, device);
    bias_ = read_weight(weights, folder, "norm.bias", {size_}, device);
  }

  std::string_view kind() const override { return "LayerNorm"; }
  Tensor operator()(const Tensor& x, bool /*training*/) const override { return layer_norm(x, weight_, bias_, 1e-5); }

  int64_t output_size(int64_t size) const override {
    expect_size(size, size_, where_);
    return size_;
  }

  NamedTensors parameters() const override { return {{"norm.weight", weight_}, {"norm.bias", bias_}}; }
  Json config() const override { return {{"dimension", size_}}; }

 private:
  std::string where_;
  int64_t size_ = 0;
  Tensor weight_, bias_;
};

class SentenceDropout : public SentenceModule {
 public:
  explicit SentenceDropout(const std::string& folder) {
    const std::string path = join_path(folder, "config.json");
    const Json json = file_exists(path) ? read_json_file(path) : Json::object();
    Fields fields(json, path, "dropout");
    const Json& share = fields.optional_raw("dropout");
    if (share.is_null()) return;
    p_ = share.is_number() ? share.get<double>() : -1;
    if (!(p_ >= 0 && p_ < 1)) fields.fail("key \"dropout\" is no share", "use a number from 0 to below 1");
  }
  std::string_view kind() const override { return "Dropout"; }
  Tensor operator()(const Tensor& x, bool training) const override { return training ? dropout(x, p_) : x; }
  int64_t output_size(int64_t size) const override { return size; }
  Json config() const override { return {{"dropout", p_}}; }

 private:
  double p_ = 0.2;
};

class Normalize : public SentenceModule {
 public:
  std::string_view kind() const override { return "Normalize"; }
  Tensor operator()(const Tensor& x, bool /*training*/) const override { return normalize_rows(x); }
  int64_t output_size(int64_t size) const override { return size; }
  Json config() const override { return Json::object(); }
};

}  // namespace

// x / sqrt(sum x^2) = rms_norm(x) / sqrt(size). The eps only keeps zeros from dividing by zero: it is below the least
// square that float32 holds of anything but zeros.
Tensor normalize_rows(const Tensor& x) {
  const auto size = static_cast<double>(x.size(-1));
  if (size == 0) return x;
  return affine(rms_norm(x, {}, 1e-24 / size), 1 / std::sqrt(size));
}

void save(const SentenceModule& module, const std::string& folder) {
  make_directories(folder);
  write_file_atomically(join_path(folder, "config.json"),
                        module.config().dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  const NamedTensors parameters = module.parameters();
  if (!parameters.empty()) save_checkpoint(folder, parameters);
}

std::unique_ptr<SentenceModule> make_sentence_module(std::string_view kind, const std::string& folder, Device device) {
  if (kind == "Dense") return std::make_unique<Dense>(folder, device);
  if (kind == "LayerNorm") return std::make_unique<SentenceLayerNorm>(folder, device);
  if (kind == "Dropout") return std::make_unique<SentenceDropout>(folder);
  if (kind == "Normalize") return make_normalize();
  throw Error("module of type " + printable(kind), folder,
              "mica knows Transformer, Pooling, Dense, LayerNorm, Normalize and Dropout");
}

std::unique_ptr<SentenceModule> make_normalize() {
  return std::make_unique<Normalize>();
}

}  // namespace mica
