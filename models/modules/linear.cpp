#include "mica/models/modules/linear.h"

#include <mutex>
#include <optional>
#include <span>
#include <utility>

#include "mica/autograd/activation.h"
#include "mica/autograd/adjacent.h"
#include "mica/autograd/autocast.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/recycled.h"
#include "mica/kernels/linear.h"

namespace mica {

class PackedWeights {
 public:
  explicit PackedWeights(DType dtype) : dtype_(dtype) {}

  // Of the products.
  DType dtype() const { return product_dtype(dtype_); }

  using Layer = std::pair<Tensor, Tensor>;  // weight, bias or undefined
  using Layers = std::span<const Layer>;

  struct View {
    PackedWeight weight;
    Tensor bias;  // of all layers, or undefined
    std::shared_ptr<Storage> keep;
  };

  // The packed form of these layers, remade when a parameter changed. Nothing where the weights as they are serve as
  // well, with the same bits: for few rows (a step of decoding reads them once, packed or not), for the first call with
  // more (a program that embeds one sentence is done before its weights would be packed, and needs the memory once),
  // and for weights of 16 bits, which are large models'. Those of them that lie with columns side by side are packed in
  // the end: threads read short parts of each row, at half the speed of packed ones, and after so many steps packing
  // has cost no more than was lost. Safe from several threads.
  std::optional<View> get(Layers layers, int64_t rows) {
    const std::lock_guard lock(mutex_);
    uint64_t version = 1;
    for (const auto& [weight, bias] : layers) {
      version += weight.storage()->version() + (bias.defined() ? bias.storage()->version() : 0);
    }
    const Device device = layers[0].first.device();
    const DType wanted = backend(device).linear().packed_dtype(dtype());
    const void* const at = layers[0].first.raw_data();
    const bool fits = current_.keep != nullptr && version == version_ && at == packed_from_ &&
                      current_.weight.dtype == wanted && current_.keep->device() == device;
    if (!fits) {
      const bool seen = rows > kFewRows && std::exchange(seen_version_, version) == version;
      const bool narrow = item_size(layers[0].first.dtype()) < 4;
      const bool slow = rows <= kFewRows && better_packed(layers[0].first) && ++few_calls_ > kFewCalls;
      // What is recorded is done later, and again and again: no place to make something that stays.
      const bool recorded = backend(device).recording();
      if ((!seen || narrow || recorded) && (!slow || recorded) && same_bits_unpacked(layers)) return std::nullopt;
      current_ = pack(layers);
      version_ = version;
      packed_from_ = at;
    }
    return current_;
  }

 private:
  static constexpr int64_t kFewRows = 8, kFewCalls = 32;

  static bool better_packed(const Tensor& weight) {
    return weight.dtype() == DType::bfloat16 && weight.stride(1) != 1 &&
           backend(weight.device()).linear().packed_dtype(DType::bfloat16) == DType::bfloat16;
  }

  // Packing changes nothing but the order of the words.
  bool same_bits_unpacked(Layers layers) const {
    for (const auto& [weight, bias] : layers) {
      const LinearKernels& kernels = backend(weight.device()).linear();
      const bool in_place = weight.stride(1) == 1 || weight.dtype() != DType::float64;
      if (!in_place || kernels.packed_dtype(weight.dtype()) != kernels.packed_dtype(dtype())) return false;
    }
    return true;
  }

  View pack(Layers layers) const {
    const NoGrad no_grad;
    const Device device = layers[0].first.device();
    LinearKernels& kernels = backend(device).linear();
    View view;
    PackedWeight& packed = view.weight;
    packed.in = layers[0].first.size(1);
    for (const auto& [weight, bias] : layers) packed.out += weight.size(0);
    packed.dtype = kernels.packed_dtype(dtype());
    view.keep = Storage::allocate(kernels.packed_bytes(packed.out, packed.in, packed.dtype), device);
    packed.data = view.keep->data();
    int64_t row = 0;
    for (const auto& [weight, bias] : layers) {
      kernels.pack((weight.stride(1) == 1 ? weight : weight.contiguous()).view(), row, packed);
      row += weight.size(0);
    }
    view.bias = join_biases(layers, packed.out);
    return view;
  }

  static Tensor join_biases(Layers layers, int64_t out) {
    bool any = false;
    for (const auto& [weight, bias] : layers) any = any || bias.defined();
    if (!any) return {};
    if (layers.size() == 1) return layers[0].second.detach();
    const Tensor& first = layers[0].first;
    const Tensor joined = Tensor::zeros({out}, backend(first.device()).activation_dtype(first.dtype()), first.device());
    int64_t row = 0;
    for (const auto& [weight, bias] : layers) {
      if (bias.defined()) joined.slice(0, row, row + bias.size(0)).copy_(bias.detach());
      row += weight.size(0);
    }
    return joined;
  }

  DType dtype_;
  std::mutex mutex_;
  View current_;
  uint64_t version_ = 0, seen_version_ = 0;  // of current_; at the last call with many rows
  const void* packed_from_ = nullptr;        // where the first of the weights of current_ was
  int64_t few_calls_ = 0;                    // without packed weights
};

namespace {

// What follows a product, as the kernel takes it. `residual` must outlive the call.
Epilogue epilogue_of(const After& after, const Tensor& bias, const Tensor& residual) {
  Epilogue epilogue;
  epilogue.bias = bias.view();
  epilogue.activation = after.activation;
  epilogue.residual = residual.view();
  if (after.norm != nullptr && after.norm->fusable()) {
    epilogue.norm_weight = after.norm->weight().view();
    epilogue.norm_bias = after.norm->bias().view();
    epilogue.norm_eps = static_cast<float>(after.norm->eps());
  }
  return epilogue;
}

// A residual as rows like those of y.
Tensor residual_rows(const Tensor& residual, const Shape& shape) {
  return residual.defined() ? residual.detach().contiguous().reshape(shape) : Tensor();
}

// y [rows, out] of x [rows, in] with everything that follows in one call of the kernel; with the packed weights, or
// without them.
void run_fused(const Tensor& x, const PackedWeights::View& packed, const After& after, const Tensor& y) {
  const Tensor residual = residual_rows(after.residual, y.shape());
  const Epilogue epilogue = epilogue_of(after, packed.bias, residual);
  backend(x.device()).linear().forward_packed(x.view(), packed.weight, epilogue, y.view());
}
void run_fused(const Tensor& x, const Linear& layer, const After& after, const Tensor& y) {
  const Tensor residual = residual_rows(after.residual, y.shape());
  const Epilogue epilogue = epilogue_of(after, layer.bias(), residual);
  backend(x.device()).linear().forward(x.view(), layer.weight().view(), epilogue, y.view());
}

// Whether what follows the product is more than a kernel's epilogue.
bool needs_parts(const After& after) {
  return after.norm != nullptr && !after.norm->fusable();
}

// What follows a product, by separate differentiable ops.
Tensor finished(const Tensor& product, const After& after) {
  const Tensor y = activate(product, after.activation);
  if (!after.residual.defined()) {
    const Tensor kept = dropout(y, after.dropout);
    return after.norm != nullptr ? (*after.norm)(kept) : kept;
  }
  if (after.norm != nullptr) return (*after.norm)(y, after.residual, after.dropout);
  if (after.next == nullptr) return dropout_add(y, after.residual, after.dropout);
  const NormedSum both = after.next->with_sum(y, after.residual, after.dropout);
  *after.normed = both.normed;
  return both.sum;
}

}  // namespace

Linear::Linear(const Scope& scope, int64_t in, int64_t out, bool has_bias, bool transposed)
    : Linear(scope.matrix("weight", transposed ? Shape{in, out} : Shape{out, in}),
             has_bias ? scope.zeros("bias", {out}) : Tensor(), scope.options()) {
  transposed_ = transposed;
  adapters_ = scope.adapter_slot(in, out, transposed);
}

Tensor Linear::compose(const Tensor& x, const After& after) const {
  Tensor y = linear(x, weight(), bias_, packed_->dtype());
  if (adapters_ != nullptr) y = adapters_->add_to(y, x);
  return finished(y, after);
}

Activated Linear::step(const Activated& x, const After& after, Activation handed_on) const {
  // What adapters read is kept for them.
  if (x.activation != Activation::none) {
    const Tensor y = adapted() ? compose(activate(x.before, x.activation), after)
                               : finished(activated_linear(x, weight(), bias_, packed_->dtype()), after);
    return {y, {}, handed_on};
  }
  if (handed_on == Activation::none || adapted() || !needs_tape(x.before, after))
    return {(*this)(x.before, after), {}, handed_on};
  return linear_and_activation(x.before, weight(), bias_, handed_on, packed_->dtype());
}

Tensor Linear::weight() const {
  return transposed_ ? transpose(weight_, 0, 1) : weight_;
}

bool Linear::needs_tape(const Tensor& x, const After& after) const {
  return after.dropout > 0 || adapted() || wants_grad({&x, &weight_, &bias_, &after.residual}) ||
         (after.norm != nullptr && wants_grad({&after.norm->weight(), &after.norm->bias()}));
}

Linear::Linear(Tensor shared_weight, Tensor own_bias, const BuildOptions& options)
    : weight_(std::move(shared_weight)),
      bias_(std::move(own_bias)),
      packed_(std::make_shared<PackedWeights>(options.dtype)) {}

Linear::Linear(const BuildOptions& options)
    : transposed_(true), packed_(std::make_shared<PackedWeights>(options.dtype)) {}

Linear Linear::of(Tensor weight, Tensor bias) const {
  Linear layer = *this;
  layer.weight_ = std::move(weight);
  layer.bias_ = std::move(bias);
  return layer;
}

Tensor Linear::operator()(const Tensor& x, const After& after) const {
  if (needs_tape(x, after)) return compose(x, after);
  if (needs_parts(after)) {
    After product = after;
    product.norm = nullptr;
    return (*after.norm)((*this)(x, product));
  }
  if (x.rank() < 1 || x.size(-1) != in()) {
    throw Error("x " + to_string(x.shape()) + ", weight " + to_string(weight_.shape()), "linear",
                "the last dimension of x must be the weight's second");
  }
  check_devices("linear", {&x, &weight_, &after.residual});
  const Tensor source = x.detach();
  const Tensor rows = source.rank() == 2 && source.stride(1) == 1 ? source : source.contiguous().reshape({-1, in()});
  const Tensor y = Tensor::empty({rows.size(0), out()}, x.dtype(), x.device());
  const PackedWeights::Layer own[] = {{weight().detach(), bias_}};
  if (const auto packed = packed_->get(own, rows.size(0))) {
    run_fused(rows, *packed, after, y);
  } else {
    run_fused(rows, *this, after, y);
  }
  Shape shape = x.shape();
  shape.set(-1, out());
  return y.reshape(shape);
}

Tensor chain(const Tensor& x, std::initializer_list<ChainLayer> list) {
  const std::span<const ChainLayer> layers(list.begin(), list.size());
  const size_t number = layers.size();
  RecycledVector<Tensor> results(number);
  bool step_by_step = false;
  for (const ChainLayer& each : layers)
    step_by_step = step_by_step || each.layer->needs_tape(x, each.after) || needs_parts(each.after);
  if (step_by_step) {
    Activated input{.before = x};
    for (size_t i = 0; i < number; ++i) {
      const Linear& layer = *layers[i].layer;
      After after = layers[i].after;
      if (layers[i].residual_of >= 0) after.residual = results[static_cast<size_t>(layers[i].residual_of)];
      // An activation between two layers goes to the second: neither keeps its result.
      const bool between =
          i + 1 < number && !layers[i].keep && after.dropout == 0 && !after.residual.defined() && after.norm == nullptr;
      const Activation handed_on = between ? std::exchange(after.activation, Activation::none) : Activation::none;
      input = layer.step(input, after, handed_on);
      results[i] = input.before;
    }
    return results.back();
  }
  const Tensor rows = x.detach().contiguous();
  RecycledVector<std::optional<PackedWeights::View>> packed;
  bool all_packed = true;
  for (const ChainLayer& each : layers) {
    const PackedWeights::Layer own[] = {{each.layer->weight().detach(), each.layer->bias_}};
    packed.push_back(each.layer->packed_->get(own, rows.size(0)));
    all_packed = all_packed && packed.back();
  }
  if (!all_packed) {
    for (size_t i = 0; i < number; ++i) {
      const Linear& layer = *layers[i].layer;
      After after = layers[i].after;
      if (layers[i].residual_of >= 0) after.residual = results[static_cast<size_t>(layers[i].residual_of)];
      results[i] = Tensor::empty({rows.size(0), layer.out()}, x.dtype(), x.device());
      run_fused(i == 0 ? rows : results[i - 1], layer, after, results[i]);
    }
    return results.back();
  }
  RecycledVector<Tensor> residuals;
  RecycledVector<ChainStep> steps;
  for (size_t i = 0; i < number; ++i) {
    const ChainLayer& each = layers[i];
    const Shape shape{rows.size(0), each.layer->out()};
    if (each.keep || i + 1 == number) results[i] = Tensor::empty(shape, x.dtype(), x.device());
    residuals.push_back(each.residual_of >= 0 ? results[static_cast<size_t>(each.residual_of)]
                                              : residual_rows(each.after.residual, shape));
    steps.push_back({packed[i]->weight, epilogue_of(each.after, packed[i]->bias, residuals[i]), results[i].view()});
  }
  backend(x.device()).linear().forward_packed_chain(rows.view(), steps);
  return results.back();
}

LinearGroup::LinearGroup(std::vector<Linear> layers, const BuildOptions& options)
    : layers_(std::move(layers)), packed_(std::make_shared<PackedWeights>(options.dtype)) {
  if (layers_.size() > kMostLayers)
    throw Error("a group of " + std::to_string(layers_.size()) + " layers", "linear",
                "need at most " + std::to_string(kMostLayers));
  // Those of a mapped file stay there until training wants them otherwise.
  if (!layers_.empty() && !layers_[0].weight_.storage()->borrowed()) join_parameters();
}

// Moves the layers' parameters behind one another, so that training multiplies by all at once. The handles that others
// have keep naming them.
void LinearGroup::join_parameters() const {
  const Linear& first = layers_[0];
  int64_t out = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Linear& layer = layers_[i];
    const auto alike = [](const Tensor& a, const Tensor& b) {
      return a.defined() == b.defined() && a.requires_grad() == b.requires_grad() &&
             (!a.defined() || (a.dtype() == b.dtype() && a.device() == b.device()));
    };
    // The same tensor twice cannot lie in two places. One that a file lacks is not there at all: see Scope.
    const bool joinable = layer.weight_.rank() == 2 && !layer.transposed_ && layer.weight_.requires_grad() &&
                          layer.weight_.is_contiguous() && alike(layer.weight_, first.weight_) &&
                          alike(layer.bias_, first.bias_) && (i == 0 || !layer.weight_.is_same(layers_[i - 1].weight_));
    if (!joinable) return;
    out += layer.out();
  }
  const auto lie_joined = [&](const Tensor& (*of)(const Linear&)) {
    for (size_t i = 1; i < layers_.size(); ++i) {
      const Tensor& before = of(layers_[i - 1]);
      if (before.defined() && !follows(before, before.numel(), of(layers_[i]))) return false;
    }
    return true;
  };
  const auto join = [&](const Tensor& (*of)(const Linear&), Shape shape) {
    const Tensor& one = of(first);
    if (!one.defined() || lie_joined(of)) return;
    // What is recorded is done later: the parameters would be lost.
    if (backend(one.device()).recording()) {
      throw Error("parameters that move while a step is recorded", "linear", "run the step once before");
    }
    shape.set(0, out);
    const Tensor whole = Tensor::empty(shape, one.dtype(), one.device());
    int64_t row = 0;
    for (const Linear& layer : layers_) {
      const Tensor part = whole.slice(0, row, row + layer.out());
      part.copy_(of(layer).detach());
      of(layer).set_data(part);
      row += layer.out();
    }
  };
  join([](const Linear& layer) -> const Tensor& { return layer.weight_; }, first.weight_.shape());
  join([](const Linear& layer) -> const Tensor& { return layer.bias_; }, Shape{out});
}

std::array<Tensor, LinearGroup::kMostLayers> LinearGroup::operator()(const Tensor& x) const {
  std::array<Tensor, kMostLayers> results;
  bool tracked = false;
  for (const Linear& layer : layers_) tracked = tracked || layer.needs_tape(x, {});
  if (tracked) {
    join_parameters();
    std::vector<LinearParameters> parameters;
    for (const Linear& layer : layers_) parameters.push_back({layer.weight(), layer.bias()});
    const std::vector<Tensor> products = linears(x, parameters, packed_->dtype());
    for (size_t i = 0; i < layers_.size(); ++i) {
      const auto& adapters = layers_[i].adapters_;
      results[i] = adapters != nullptr ? adapters->add_to(products[i], x) : products[i];
    }
    return results;
  }
  std::array<PackedWeights::Layer, kMostLayers> parameters;
  int64_t out = 0, column = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    parameters[i] = {layers_[i].weight().detach(), layers_[i].bias()};
    out += layers_[i].out();
  }
  const Tensor rows = x.detach().contiguous();
  const Tensor joined = Tensor::empty({rows.size(0), out}, x.dtype(), x.device());
  const auto packed = packed_->get({parameters.data(), layers_.size()}, rows.size(0));
  if (packed) run_fused(rows, *packed, {}, joined);
  for (size_t i = 0; i < layers_.size(); ++i) {
    results[i] = joined.slice(1, column, column + layers_[i].out());
    column += layers_[i].out();
    if (!packed) run_fused(rows, layers_[i], {}, results[i]);
  }
  return results;
}

}  // namespace mica
