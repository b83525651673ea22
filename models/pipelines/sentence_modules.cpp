#include "mica/models/pipelines/sentence_modules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "mica/autograd/activation.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/base/parallel.h"
#include "mica/kernels/reduce.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {
namespace {

constexpr int64_t kMaxSize = 1 << 20;  // of a vector, in elements

struct ModeName {
  PoolingMode mode;
  std::string_view name;
  const char* old_key;
};

// In the order in which the reference concatenates.
constexpr std::array<ModeName, 6> kModes{{
    {PoolingMode::cls, "cls", "pooling_mode_cls_token"},
    {PoolingMode::max, "max", "pooling_mode_max_tokens"},
    {PoolingMode::mean, "mean", "pooling_mode_mean_tokens"},
    {PoolingMode::mean_sqrt_len, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"},
    {PoolingMode::weightedmean, "weightedmean", "pooling_mode_weightedmean_tokens"},
    {PoolingMode::lasttoken, "lasttoken", "pooling_mode_lasttoken"},
}};

PoolingMode mode_from_name(const Json& value, const Fields& fields) {
  for (const ModeName& entry : kModes) {
    if (value.is_string() && value.get_ref<const std::string&>() == entry.name) return entry.mode;
  }
  std::string known;
  for (const ModeName& entry : kModes) known += (known.empty() ? "" : ", ") + std::string(entry.name);
  fields.fail("key \"pooling_mode\" holds " + printable(value.dump(-1, ' ', false, Json::error_handler_t::replace)),
              "use one of " + known);
}

std::vector<PoolingMode> read_modes(Fields& fields) {
  std::vector<PoolingMode> modes;
  if (fields.has("pooling_mode")) {
    const Json& value = fields.raw("pooling_mode");
    if (!value.is_array()) return {mode_from_name(value, fields)};
    for (const Json& each : value) modes.push_back(mode_from_name(each, fields));
    if (modes.empty() || modes.size() > kModes.size()) {
      fields.fail("key \"pooling_mode\" holds " + std::to_string(modes.size()) + " modes",
                  "name 1 to " + std::to_string(kModes.size()));
    }
    return modes;
  }
  for (const ModeName& entry : kModes) {
    if (fields.boolean(entry.old_key, false)) modes.push_back(entry.mode);
  }
  if (modes.empty()) modes.push_back(PoolingMode::mean);
  return modes;
}

Tensor segment_reduce(ReduceOp op, const Tensor& x, const SequenceOffsets& offsets, const std::vector<float>& weights) {
  const Tensor y = Tensor::empty({offsets.count(), x.size(1)}, x.dtype(), x.device());
  const Tensor factors = weights.empty() ? Tensor() : Tensor::from(weights).to(x.device());
  backend(x.device()).reduce().segment_reduce(op, x.view(), offsets.segments(), factors.view(), y.view());
  return y;
}

// For each sentence, the row `pick` gives; -1 stands for a row of zeros.
template <typename Pick>
Tensor pick_rows(const Tensor& x, const SequenceOffsets& offsets, Pick pick) {
  std::vector<int64_t> index;
  std::vector<int64_t> empty;
  for (int64_t i = 0; i < offsets.count(); ++i) {
    const int64_t row = pick(i);
    if (row < 0) empty.push_back(i);
    index.push_back(std::max<int64_t>(row, 0));
  }
  const Tensor y = index_select(x, Tensor::from(index).to(x.device()));
  for (const int64_t i : empty) y.slice(0, i, i + 1).fill_(0);
  return y;
}

// The weight of each row of hidden in its sentence's sum.
template <typename Weight>
std::vector<float> row_weights(const SequenceOffsets& offsets, Weight weight) {
  std::vector<float> weights;
  weights.reserve(static_cast<size_t>(offsets.rows()));
  for (int64_t i = 0; i < offsets.count(); ++i) {
    for (int64_t k = 0; k < offsets.length(i); ++k) weights.push_back(static_cast<float>(weight(offsets.length(i), k)));
  }
  return weights;
}

}  // namespace

std::string_view name(PoolingMode mode) {
  return kModes[static_cast<size_t>(mode)].name;
}

Pooling Pooling::from_folder(const std::string& folder, int64_t hidden_size) {
  const std::string path = join_path(folder, "config.json");
  const Json json = read_json_file(path);
  Fields fields(json, path, "pooling");
  const char* key = fields.has("embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension";
  const int64_t size = fields.integer(key, 1, kMaxSize);
  if (size != hidden_size) {
    fields.fail("key \"" + std::string(key) + "\" is " + std::to_string(size),
                "the model's token vectors have size " + std::to_string(hidden_size));
  }
  std::vector<PoolingMode> modes = read_modes(fields);
  return Pooling(std::move(modes), fields.boolean("include_prompt", true));
}

Tensor Pooling::operator()(const Tensor& hidden, const SequenceOffsets& offsets, int64_t prompt_tokens) const {
  const int64_t skipped = include_prompt_ ? 0 : prompt_tokens;
  Tensor rows = hidden;
  SequenceOffsets kept = offsets;
  if (skipped > 0) {
    std::vector<int64_t> index;
    std::vector<int64_t> lengths;
    for (int64_t i = 0; i < offsets.count(); ++i) {
      lengths.push_back(std::max<int64_t>(offsets.length(i) - skipped, 0));
      for (int64_t k = skipped; k < offsets.length(i); ++k) index.push_back(offsets.begin(i) + k);
    }
    if (index.empty()) {
      return Tensor::zeros({offsets.count(), hidden.size(1) * static_cast<int64_t>(modes_.size())}, DType::float32,
                           hidden.device());
    }
    rows = index_select(hidden, Tensor::from(index).to(hidden.device()));
    kept = SequenceOffsets::from_lengths(lengths, hidden.device());
  }
  const auto reduce = [&](PoolingMode mode) {
    switch (mode) {
      case PoolingMode::cls:
        return pick_rows(rows, kept, [&](int64_t i) { return kept.length(i) == 0 ? -1 : kept.begin(i); });
      case PoolingMode::lasttoken:
        return pick_rows(rows, kept,
                         [&](int64_t i) { return kept.length(i) == 0 ? -1 : kept.begin(i) + kept.length(i) - 1; });
      case PoolingMode::max:
        return segment_reduce(ReduceOp::max, rows, kept, {});
      case PoolingMode::mean:
        return segment_reduce(ReduceOp::mean, rows, kept, {});
      case PoolingMode::mean_sqrt_len:
        return segment_reduce(ReduceOp::sum, rows, kept, row_weights(kept, [](int64_t length, int64_t) {
                                return 1 / std::sqrt(static_cast<double>(length));
                              }));
      case PoolingMode::weightedmean:
        // A token's weight is its place in the sentence, prompt included, counted from 1.
        return segment_reduce(ReduceOp::sum, rows, kept, row_weights(kept, [&](int64_t length, int64_t k) {
                                const auto n = static_cast<double>(length);
                                const double sum = n * static_cast<double>(skipped) + n * (n + 1) / 2;
                                return static_cast<double>(skipped + k + 1) / sum;
                              }));
    }
    throw Error("unknown pooling mode", "pooling", "this is a fault of mica");
  };
  if (modes_.size() == 1) return reduce(modes_[0]);
  const int64_t size = hidden.size(1);
  const Tensor result =
      Tensor::empty({offsets.count(), size * static_cast<int64_t>(modes_.size())}, hidden.dtype(), hidden.device());
  for (size_t m = 0; m < modes_.size(); ++m) {
    const auto column = static_cast<int64_t>(m) * size;
    result.slice(1, column, column + size).copy_(reduce(modes_[m]));
  }
  return result;
}

namespace {

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
  return checkpoint.tensor(name).to(DType::float32).to(device);
}

// The class of torch.nn that config.json names ("torch.nn.modules.activation.Tanh").
Activation torch_activation(Fields& fields) {
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
  const std::string path = fields.string("activation_function", "torch.nn.modules.activation.Tanh");
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
    activation_ = torch_activation(fields);
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

  Tensor operator()(const Tensor& x) const override {
    const Tensor y = activate(linear(x, weight_, bias_), activation_);
    if (!residual_) return y;
    return add(y, projection_.defined() ? linear(x, projection_) : x);
  }

  int64_t output_size(int64_t size) const override {
    expect_size(size, in_, where_);
    return out_;
  }

 private:
  std::string where_;
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

  Tensor operator()(const Tensor& x) const override { return layer_norm(x, weight_, bias_, 1e-5); }

  int64_t output_size(int64_t size) const override {
    expect_size(size, size_, where_);
    return size_;
  }

 private:
  std::string where_;
  int64_t size_ = 0;
  Tensor weight_, bias_;
};

class Normalize : public SentenceModule {
 public:
  Tensor operator()(const Tensor& x) const override { return normalize_rows(x); }
  int64_t output_size(int64_t size) const override { return size; }
};

}  // namespace

Tensor normalize_rows(const Tensor& x) {
  const Tensor y = Tensor::empty(x.shape());
  const Tensor host = x.to(Device{}).to(DType::float32).contiguous();
  const float* in = host.data<float>();
  float* out = y.data<float>();
  const int64_t size = x.size(-1);
  parallel_for(size == 0 ? 0 : x.numel() / size, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = in + row * size;
      double square = 0;
      for (int64_t i = 0; i < size; ++i) square += static_cast<double>(from[i]) * static_cast<double>(from[i]);
      const auto scale = static_cast<float>(1 / std::max(std::sqrt(square), 1e-12));
      for (int64_t i = 0; i < size; ++i) out[row * size + i] = from[i] * scale;
    }
  });
  return y.to(x.device());
}

std::unique_ptr<SentenceModule> make_dense(const std::string& folder, Device device) {
  return std::make_unique<Dense>(folder, device);
}
std::unique_ptr<SentenceModule> make_sentence_layer_norm(const std::string& folder, Device device) {
  return std::make_unique<SentenceLayerNorm>(folder, device);
}
std::unique_ptr<SentenceModule> make_normalize() {
  return std::make_unique<Normalize>();
}

}  // namespace mica
