#include "mica/models/scope.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/random.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/pages.h"
#include "mica/base/warnings.h"
#include "mica/kernels/backend.h"
#include "mica/tensor/quantized_weight.h"
#include "mica/tensor/upload.h"

namespace mica {
namespace {

// Buffers that older files hold; the model computes them.
constexpr std::string_view kComputedBuffers[] = {"position_ids", "token_type_ids"};

bool ends_with_part(std::string_view name, std::string_view part) {
  return name == part ||
         (name.size() > part.size() && name.ends_with(part) && name[name.size() - part.size() - 1] == '.');
}

std::string list(const std::vector<std::string>& names, size_t most = 12) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < most; ++i) text += (i > 0 ? ", " : "") + printable(names[i]);
  if (names.size() > most) text += ", and " + std::to_string(names.size() - most) + " more";
  return text;
}

// The two spellings of a norm's parameters: "x.LayerNorm.weight", and "x.LayerNorm.gamma" in files of before 2019.
std::string other_norm_spelling(const std::string& name) {
  if (name.ends_with(".gamma")) return name.substr(0, name.size() - 5) + "weight";
  if (name.ends_with(".beta")) return name.substr(0, name.size() - 4) + "bias";
  if (name.ends_with(".weight")) return name.substr(0, name.size() - 6) + "gamma";
  if (name.ends_with(".bias")) return name.substr(0, name.size() - 4) + "beta";
  return "";
}

// The two spellings of a weight that is kept as a magnitude g and a direction v, w = g * v / ||v||:
// "x.parametrizations.weight.original0" and "...original1" since torch 2.0, "x.weight_g" and "x.weight_v" before.
std::string other_weight_norm_spelling(const std::string& name) {
  constexpr std::string_view kPart = "parametrizations.";
  struct Spelling {
    std::string_view after, before;
  };
  for (const auto& [after, before] : {Spelling{".original0", "_g"}, Spelling{".original1", "_v"}}) {
    const bool is_new = name.ends_with(after);
    if (!is_new && !name.ends_with(before)) continue;
    const std::string stem = name.substr(0, name.size() - (is_new ? after : before).size());
    const size_t dot = stem.rfind('.');
    const size_t last = dot == stem.npos ? 0 : dot + 1;  // "weight" begins there
    if (last == stem.size()) return "";
    const std::string_view scope = std::string_view(stem).substr(0, last);
    if (!is_new) return std::string(scope) + std::string(kPart) + stem.substr(last) + std::string(after);
    if (!ends_with_part(scope.substr(0, scope.empty() ? 0 : scope.size() - 1), "parametrizations")) return "";
    return std::string(scope.substr(0, scope.size() - kPart.size())) + stem.substr(last) + std::string(before);
  }
  return "";
}

}  // namespace

ParameterStore::ParameterStore(BuildOptions options, Checkpoint checkpoint, std::string base_prefix)
    : options_(options),
      checkpoint_(std::make_shared<const Checkpoint>(std::move(checkpoint))),
      base_prefix_(std::move(base_prefix)) {}

ParameterStore::ParameterStore(BuildOptions options, const ParameterStore& before, NewRows new_rows)
    : options_(options),
      before_(before.parameters_.begin(), before.parameters_.end()),
      new_rows_(new_rows),
      narrow_in_file_(before.narrow_in_file_) {}

std::string ParameterStore::find(const std::string& name) const {
  std::string found = find_spelled(name);
  for (auto [it, end] = other_names_.equal_range(name); found.empty() && it != end; ++it)
    found = find_spelled(it->second);
  return found;
}

std::string ParameterStore::find_spelled(const std::string& name) const {
  std::vector<std::string> spellings{name};
  // A star stands for any layer: older files repeat a tensor for each, all the same.
  if (const size_t star = name.find(".*."); star != name.npos) {
    spellings.push_back(name);
    spellings.back()[star + 1] = '0';
  }
  if (!base_prefix_.empty()) {
    const std::string prefix = base_prefix_ + ".";
    for (size_t i = 0, count = spellings.size(); i < count; ++i) {
      const std::string& spelled = spellings[i];
      spellings.push_back(spelled.starts_with(prefix) ? spelled.substr(prefix.size()) : prefix + spelled);
    }
  }
  for (const std::string& spelling : spellings) {
    if (checkpoint_->find(spelling) != nullptr || quantized_weight(*checkpoint_, spelling)) return spelling;
  }
  for (const std::string& spelling : spellings) {
    for (const std::string& other : {other_norm_spelling(spelling), other_weight_norm_spelling(spelling)}) {
      if (!other.empty() && checkpoint_->find(other) != nullptr) return other;
    }
  }
  return "";
}

Tensor ParameterStore::make(const Shape& shape, const Initialization& init) const {
  switch (init.kind) {
    case Initialization::Kind::zeros:
      return Tensor::zeros(shape, DType::float32, options_.device);
    case Initialization::Kind::ones:
      return Tensor::ones(shape, DType::float32, options_.device);
    case Initialization::Kind::normal:
      break;
  }
  const Tensor tensor = normal(shape, 0, init.deviation, DType::float32, options_.device);
  if (init.zero_row >= 0 && init.zero_row < shape[0]) tensor.slice(0, init.zero_row, init.zero_row + 1).fill_(0);
  return tensor;
}

Tensor ParameterStore::resized(const Tensor& old_table, const Shape& shape, const Initialization& init) const {
  const NoGrad no_grad;
  const Tensor before = old_table.to(DType::float32);
  const int64_t rows = before.size(0);
  const int64_t kept = std::min(rows, shape[0]);
  Tensor tensor = make(shape, init);
  if (shape[0] > rows && new_rows_ == NewRows::mean) {
    // gᵀ (X - mean) / sqrt(rows), with g normal, has the covariance of the rows of X.
    constexpr double kScale = 1e-9;  // of the covariance
    const bool flat = before.rank() == 1;
    const Tensor old = flat ? before.reshape({rows, 1}) : before;
    const Tensor center = mean(old, 0);
    const Tensor noise = normal({shape[0] - rows, rows}, 0, std::sqrt(kScale / static_cast<double>(rows)),
                                DType::float32, options_.device);
    const Tensor added = matmul(noise, old - center) + center;
    tensor.slice(0, rows, shape[0]).copy_(flat ? added.reshape({shape[0] - rows}) : added);
  }
  tensor.slice(0, 0, kept).copy_(before.slice(0, 0, kept));
  return tensor;
}

// A model that memory can't hold is refused with the figure, not by the allocator's last words. Weights in a mapped
// file count: each token reads them all, and they must stay in memory between two. (Another device's memory refuses by
// itself.)
void ParameterStore::count(const std::string& name, const Shape& shape, DType dtype) {
  num_parameters_ += shape.numel();
  bytes_ += shape.numel() * item_size(dtype);
  const std::string what =
      "a model of more than " + std::to_string(num_parameters_) + " parameters (up to " + name + ")";
  if (options_.max_parameters > 0 && num_parameters_ > options_.max_parameters) {
    throw Error(what, "memory",
                "at most " + std::to_string(options_.max_parameters) + " are wanted; use a smaller model");
  }
  if (options_.device.is_cpu() && bytes_ > physical_memory()) {
    throw Error(what, "memory",
                "it takes more than " + std::to_string(bytes_ >> 20) + " MiB, and this machine has " +
                    std::to_string(physical_memory() >> 20) + "; use a smaller model");
  }
}

Tensor ParameterStore::parameter(const std::string& name, const Shape& shape, const Initialization& init,
                                 bool may_be_new, bool matrix) {
  const std::string spelling = checkpoint_ != nullptr ? find(name) : "";
  const auto quantized = spelling.empty() ? std::nullopt : quantized_weight(*checkpoint_, spelling);
  const TensorEntry* entry = spelling.empty() ? nullptr : checkpoint_->find(quantized ? quantized->values : spelling);
  const std::optional<DType> in_file = entry == nullptr ? std::nullopt
                                       : quantized      ? std::optional(DType::bfloat16)
                                                        : entry->dtype;
  const bool narrow = in_file == DType::bfloat16 || in_file == DType::float16;
  const DType dtype = narrow && matrix && options_.keep_dtype ? *in_file : DType::float32;
  count(name, shape, dtype);
  Tensor tensor;
  if (checkpoint_ != nullptr) {
    if (entry != nullptr) {
      used_.insert(spelling);
      if (quantized) {
        used_.insert({quantized->values, quantized->scales});
        used_.insert(quantized->unused.begin(), quantized->unused.end());
      }
      const Shape& found = quantized ? quantized->shape : entry->shape;
      if (found == shape) {
        tensor = quantized ? dequantize(*checkpoint_, *quantized, dtype) : checkpoint_->tensor(spelling);
        if (!is_floating(tensor.dtype())) {
          throw Error("tensor \"" + printable(spelling) + "\" is " + std::string(mica::name(tensor.dtype())),
                      "checkpoint", "weights must be floating point");
        }
        tensor = upload(tensor.to(dtype), options_.device);
        if (narrow && options_.keep_dtype) narrow_in_file_.emplace(name, *in_file);
        has_narrow_ = has_narrow_ || dtype != DType::float32;
      } else if (options_.ignore_mismatched_sizes) {
        fresh_.push_back(name);
      } else {
        misshaped_.push_back(name + " is " + to_string(found) + " in the file, " + to_string(shape) + " by the config");
      }
    } else {
      (may_be_new ? fresh_ : missing_).push_back(name);
    }
    // What is only reported must not cost memory: finish() throws before anybody computes with it.
    if (!tensor.defined() && (!missing_.empty() || !misshaped_.empty())) tensor = Tensor::zeros({});
  }
  if (const auto it = before_.find(name); it != before_.end()) {
    const Shape old = it->second.shape();
    tensor = old == shape ? it->second : resized(it->second, shape, init);
    has_narrow_ = has_narrow_ || item_size(tensor.dtype()) < 4;
  }
  if (!tensor.defined()) tensor = make(shape, init);
  tensor.set_requires_grad();
  parameters_.emplace_back(name, tensor);
  return tensor;
}

void ParameterStore::widen() {
  if (!has_narrow_) return;
  const NoGrad no_grad;
  for (const auto& [name, tensor] : parameters_) {
    if (item_size(tensor.dtype()) < 4) tensor.set_data(tensor.detach().to(DType::float32));
  }
  has_narrow_ = false;
  narrow_in_file_.clear();
}

Tensor ParameterStore::constant(const Tensor& value) {
  constants_.push_back(upload(value, options_.device));
  return constants_.back();
}

Tensor ParameterStore::reshaped(const Tensor& of, const Shape& shape) {
  if (of.rank() == 0) return of;  // the file lacks it, as finish() will say
  const NoGrad no_grad;
  reshaped_.emplace_back(of.reshape(shape), of);
  return reshaped_.back().first;
}

void ParameterStore::to(Device device) {
  if (device == options_.device) return;
  backend(device);  // an Error now rather than half-way
  const NoGrad no_grad;
  const auto move = [device](const Tensor& tensor) {
    tensor.set_data(tensor.detach().to(device));
    if (tensor.grad().defined()) tensor.set_grad(tensor.grad().to(device));
  };
  for (const auto& [name, tensor] : parameters_) move(tensor);
  for (const Tensor& tensor : constants_) move(tensor);
  for (const auto& [view, of] : reshaped_) view.set_data(of.detach().reshape(view.shape()));
  for (const auto& [module, slot] : adapters_.slots) {
    for (const auto& [name, adapter] : slot->adapters()) {
      move(adapter.a);
      move(adapter.b);
    }
  }
  options_.device = device;
}

std::vector<std::pair<std::string, Tensor>> ParameterStore::to_save() const {
  std::vector<std::pair<std::string, Tensor>> result = parameters_;
  const NoGrad no_grad;
  for (auto& [name, tensor] : result) {
    const auto it = narrow_in_file_.find(name);
    if (it != narrow_in_file_.end()) tensor = tensor.detach().to(it->second);
  }
  return result;
}

Tensor ParameterStore::buffer(const std::string& name, const Tensor& value, bool may_be_new) {
  const Tensor tensor = parameter(name, value.shape(), {.kind = Initialization::Kind::zeros}, may_be_new);
  tensor.set_requires_grad(false);
  if (checkpoint_ == nullptr && before_.empty()) tensor.copy_(value);
  return tensor;
}

Tensor ParameterStore::computed(const std::string& name, const Tensor& value) {
  if (checkpoint_ != nullptr && find(name).empty()) {
    const Tensor own = value.to(options_.device);
    own.set_requires_grad();
    parameters_.emplace_back(name, own);
    return own;
  }
  const Tensor tensor = parameter(name, value.shape(), {.kind = Initialization::Kind::zeros}, false);
  if (checkpoint_ == nullptr && before_.empty()) {
    const NoGrad no_grad;
    tensor.copy_(value);
  }
  return tensor;
}

void ParameterStore::ignore(const std::string& name) {
  if (checkpoint_ == nullptr) return;
  const std::string spelling = find(name);
  if (!spelling.empty()) used_.insert(spelling);
}

// Whether a file holds the same values under that name as for this parameter.
bool ParameterStore::same_in_file(const std::string& spelling, const Tensor& as) const {
  const auto named = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const auto& each) { return each.second.storage() == as.storage(); });
  const std::string other = named == parameters_.end() ? "" : find(named->first);
  const TensorEntry* one = checkpoint_->find(spelling);
  const TensorEntry* two = other.empty() ? nullptr : checkpoint_->find(other);
  if (one == nullptr || two == nullptr || one->shape != as.shape() || two->shape != as.shape()) return true;
  Tensor a = checkpoint_->tensor(spelling);
  Tensor b = checkpoint_->tensor(other);
  if (a.dtype() != b.dtype()) {
    a = a.to(DType::float32);
    b = b.to(DType::float32);
  }
  const void* first = a.raw_data();
  const void* second = b.raw_data();
  return first == second || std::memcmp(first, second, static_cast<size_t>(a.numel() * item_size(a.dtype()))) == 0;
}

Tensor ParameterStore::tied(const std::string& name, const Tensor& of) {
  if (checkpoint_ != nullptr) {
    const std::string spelling = find(name);
    if (spelling.empty()) return of;
    used_.insert(spelling);
    if (same_in_file(spelling, of)) return of;
  } else if (before_.count(name) == 0) {
    return of;
  }
  return parameter(name, of.shape(), {Initialization::Kind::normal, options_.initializer_range}, false, true);
}

void ParameterStore::finish(const std::string& where, const std::string& model) const {
  if (checkpoint_ == nullptr) return;
  if (!missing_.empty() || !misshaped_.empty()) {
    std::string problem = "the weights do not fit " + model + ":";
    if (!missing_.empty()) problem += " missing " + list(missing_) + ";";
    if (!misshaped_.empty()) problem += " mis-shaped " + list(misshaped_) + ";";
    problem.pop_back();
    throw Error(problem, where, "use the config that belongs to these weights");
  }
  if (!fresh_.empty()) {
    warn("some weights of " + model + " are new, since " + where + " lacks them: " + list(fresh_) +
         ". Train the model before you use it for predictions.");
  }
  std::vector<std::string> unused;
  for (const std::string_view view : checkpoint_->names()) {
    const std::string name(view);
    const bool computed = std::any_of(std::begin(kComputedBuffers), std::end(kComputedBuffers),
                                      [&](std::string_view part) { return ends_with_part(name, part); });
    if (used_.count(name) == 0 && !computed) unused.push_back(name);
  }
  std::sort(unused.begin(), unused.end());
  if (!unused.empty()) warn("weights in " + where + " that " + model + " does not use: " + list(unused));
}

Scope Scope::operator/(std::string_view part) const {
  Scope scope = *this;
  if (!part.empty()) scope.prefix_ += std::string(part) + ".";
  return scope;
}

Scope Scope::may_be_new() const {
  Scope scope = *this;
  scope.may_be_new_ = true;
  return scope;
}

Tensor Scope::parameter(std::string_view name, const Shape& shape, const Initialization& init) const {
  return store_->parameter(prefix_ + std::string(name), shape, init, may_be_new_);
}

Tensor Scope::matrix(std::string_view name, const Shape& shape, int64_t zero_row) const {
  return store_->parameter(prefix_ + std::string(name), shape,
                           {Initialization::Kind::normal, options().initializer_range, zero_row}, may_be_new_, true);
}

Tensor Scope::weight(std::string_view name, const Shape& shape, int64_t zero_row) const {
  return parameter(name, shape, {Initialization::Kind::normal, options().initializer_range, zero_row});
}

Tensor Scope::zeros(std::string_view name, const Shape& shape) const {
  return parameter(name, shape, {.kind = Initialization::Kind::zeros});
}

Tensor Scope::ones(std::string_view name, const Shape& shape) const {
  return parameter(name, shape, {.kind = Initialization::Kind::ones});
}

Tensor Scope::buffer(std::string_view name, const Tensor& value) const {
  return store_->buffer(prefix_ + std::string(name), value, may_be_new_);
}

Tensor Scope::computed(std::string_view name, const Tensor& value) const {
  return store_->computed(prefix_ + std::string(name), value);
}

void Scope::ignore(std::string_view name) const {
  store_->ignore(prefix_ + std::string(name));
}

Tensor Scope::tied(std::string_view name, const Tensor& of) const {
  return store_->tied(prefix_ + std::string(name), of);
}

void Scope::spell(std::string_view name, std::string_view other) const {
  store_->spell(prefix_ + std::string(name), prefix_ + std::string(other));
}

std::shared_ptr<AdapterSlot> Scope::adapter_slot(int64_t in, int64_t out, bool transposed) const {
  auto slot = std::make_shared<AdapterSlot>(in, out, transposed);
  std::string module = prefix_;
  if (module.ends_with('.')) module.pop_back();
  store_->adapters().slots.emplace_back(std::move(module), slot);
  return slot;
}

}  // namespace mica
