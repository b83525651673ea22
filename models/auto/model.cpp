#include "mica/models/auto/model.h"

#include <algorithm>
#include <map>

#include "mica/autograd/checkpoint.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/base/warnings.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/lora.h"
#include "mica/models/auto/quantization.h"
#include "mica/models/auto/table.h"
#include "mica/models/auto/virtual_inputs.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tensor/safetensors.h"

namespace mica {

struct Model::Impl {
  Config config;
  Task task = Task::base;
  const Family* family = nullptr;
  LoadOptions options;
  ParameterStore store;
  std::unique_ptr<Network> network;
  std::unique_ptr<Head> head;
  std::shared_ptr<const GenerationConfig> generation;  // null: not a model that generates
  bool training = false;
  bool checkpointing = false;

  Impl(Config c, Task t, LoadOptions o, ParameterStore s)
      : config(std::move(c)), task(t), options(std::move(o)), store(std::move(s)) {}
};

namespace {

void apply(const LoadOptions& options, Config* config) {
  if (!options.labels.empty()) config->set_labels(options.labels);
  if (options.num_labels != 0) {
    if (!options.labels.empty() && options.num_labels != static_cast<int64_t>(options.labels.size())) {
      throw Error("num_labels " + std::to_string(options.num_labels) + " with " +
                      std::to_string(options.labels.size()) + " labels",
                  "load options", "leave one of them out");
    }
    config->num_labels = options.num_labels;
  }
  if (!options.problem_type.empty()) config->problem_type = options.problem_type;
  for (const auto& [key, value] : options.config) config->set_json(key, value);
}

}  // namespace

Model Model::from_pretrained(const std::string& name_or_folder, Task task, const LoadOptions& options) {
  const std::string folder = resolve_model_folder(name_or_folder);
  if (is_adapter_folder(folder)) {
    const WarningCatcher dropped;  // a head that the base model lacks comes with the adapter
    Model model =
        build(AutoConfig::from_pretrained(folder), task, options, resolve_model_folder(adapter_base_model(folder)));
    load_adapter(model, folder);
    return model;
  }
  return build(AutoConfig::from_pretrained(folder), task, options, folder);
}

Model Model::from_config(const Config& config, Task task, const LoadOptions& options) {
  return build(config, task, options, "");
}

namespace {

// The dtype of most elements of a checkpoint.
DType main_dtype(const Checkpoint& checkpoint) {
  std::map<DType, int64_t> elements;
  for (const std::string_view name : checkpoint.names()) {
    const TensorEntry* entry = checkpoint.find(name);
    if (!entry->dtype || !is_floating(*entry->dtype)) continue;
    const bool widened = item_size(*entry->dtype) == 1;  // as it is read
    elements[widened ? DType::bfloat16 : *entry->dtype] += entry->shape.numel();
  }
  const auto most = std::max_element(elements.begin(), elements.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == elements.end() ? DType::float32 : most->first;
}

// How the products of a model run: in the dtype that is asked for, or in that of its weights.
void choose_dtype(const std::optional<DType>& wanted, DType stored, BuildOptions* options) {
  const bool narrow = stored == DType::bfloat16 || stored == DType::float16;
  // Elements of float16 are widened on their way into the products.
  const DType natural = stored == DType::bfloat16 ? DType::bfloat16 : DType::float32;
  options->dtype = wanted.value_or(narrow ? natural : DType::float32);
  options->keep_dtype = narrow && (!wanted || *wanted == stored);
}

}  // namespace

Model Model::build(Config config, Task task, const LoadOptions& options, const std::string& folder) {
  const Family& family = family_of(config.model_type.value());
  if (!family.has(task)) {
    std::string known;
    for (const Task each : family.tasks) known += (known.empty() ? "" : ", ") + std::string(mica::name(each));
    throw Error("model_type " + std::string(family.model_type) + " has no head for " + std::string(mica::name(task)),
                config.where(), "it has " + known);
  }
  apply(options, &config);
  BuildOptions build_options{
      .device = options.device,
      .initializer_range = config.has("initializer_range") ? config.number_in("initializer_range", 0, 100) : 0.02,
      .ignore_mismatched_sizes = options.ignore_mismatched_sizes,
      .max_parameters = options.max_parameters};
  backend(options.device);  // an Error now rather than after reading weights
  if (!folder.empty()) read_quantization(&config);
  const auto open_store = [&] {
    if (folder.empty()) {
      build_options.dtype = options.dtype.value_or(DType::float32);
      return ParameterStore(build_options);
    }
    Checkpoint checkpoint = Checkpoint::open(folder);
    choose_dtype(options.dtype, main_dtype(checkpoint), &build_options);
    return ParameterStore(build_options, std::move(checkpoint), std::string(family.base_prefix));
  };
  ParameterStore store = open_store();
  // Before weights are read: what is malformed here is known at once.
  const bool generates = task == Task::causal_lm || task == Task::seq2seq_lm;
  auto generation = generates ? read_generation_config(folder, config) : nullptr;
  auto impl = assemble(std::move(config), task, options, std::move(store), folder);
  impl->generation = std::move(generation);
  return Model(std::move(impl));
}

std::shared_ptr<Model::Impl> Model::assemble(Config config, Task task, const LoadOptions& options, ParameterStore store,
                                             const std::string& where) {
  const Family& family = family_of(config.model_type.value());
  auto impl = std::make_shared<Impl>(std::move(config), task, options, std::move(store));
  impl->family = &family;
  const HeadStyle& style = family.heads();
  const Scope root(impl->store);
  const bool has_no_head = task == Task::base || task == Task::text_encoding;
  const bool drops_pooler = has_no_head && !options.add_pooling_layer;
  impl->network = family.network(impl->config, root / family.prefix(task), task,
                                 needs_pooler(task, style) && !drops_pooler, drops_pooler);
  const Family::HeadPlace place = family.head_place(impl->config);
  impl->head = make_head(task, *place.style, place.config, root / place.prefix, *impl->network);
  impl->store.finish(where, family.architecture(task));
  return impl;
}

int64_t Model::resize_token_embeddings(int64_t new_num_tokens, const ResizeOptions& options) {
  constexpr int64_t kMost = 100'000'000;  // rows
  const int64_t multiple = options.pad_to_multiple_of;
  int64_t rows = new_num_tokens == 0 ? impl_->network->shape().vocab_size : new_num_tokens;
  if (rows < 1 || rows > kMost || multiple < 1 || multiple > kMost) {
    throw Error("no size for a vocabulary: " + std::to_string(new_num_tokens) + " tokens, padded to a multiple of " +
                    std::to_string(multiple),
                "resize_token_embeddings", "use 1 to " + std::to_string(kMost));
  }
  rows = (rows + multiple - 1) / multiple * multiple;
  if (rows == impl_->network->shape().vocab_size) return rows;
  if (!impl_->store.adapters().configs.empty()) {
    throw Error("a model with adapters gets no other vocabulary", "resize_token_embeddings",
                "resize first, or merge them");
  }
  Config config = impl_->config;
  config.set("vocab_size", rows);
  const auto new_rows = options.mean_resizing ? ParameterStore::NewRows::mean : ParameterStore::NewRows::normal;
  auto resized = assemble(std::move(config), impl_->task, impl_->options,
                          ParameterStore(impl_->store.options(), impl_->store, new_rows), "resize_token_embeddings");
  if (resized->network->shape().vocab_size != rows) {
    throw Error("the vocabulary's size is not in the config's vocab_size", impl_->config.where(),
                "resize the part that has it");
  }
  resized->training = impl_->training;
  resized->checkpointing = impl_->checkpointing;
  resized->generation = impl_->generation;
  *impl_ = std::move(*resized);  // every handle of this model sees it
  return rows;
}

ModelOutput Model::operator()(const ModelInputs& inputs) const {
  const VirtualTokens* tokens = impl_->store.adapters().active_virtual_tokens();
  if (tokens == nullptr) return run(inputs);
  const ModelInputs longer = with_virtual_tokens(*tokens, *impl_->network, impl_->task, inputs);
  ModelOutput output = run(longer);
  drop_virtual_tokens(*tokens, *impl_->network, impl_->task, longer, &output);
  return output;
}

ModelOutput Model::run(const ModelInputs& inputs) const {
  Impl& impl = *impl_;
  if (grad_enabled()) impl.store.widen();
  const Checkpointing checkpointing(impl.checkpointing && impl.training);
  const NetworkOutput result = impl.network->forward(inputs, device(), impl.training);
  ModelOutput output;
  for (const Tensor& hidden : result.hidden_states) output.hidden_states.push_back(per_token(hidden, result.rows));
  if (result.encoder_hidden.defined()) {
    output.encoder_last_hidden_state = per_token(result.encoder_hidden, result.encoder_rows);
  }
  if (impl.head != nullptr) {
    impl.head->forward(*impl.network, result.hidden, result.rows, inputs, &output);
    if (impl.task == Task::causal_lm && result.load_balancing_loss.defined()) {
      output.aux_loss = result.load_balancing_loss;
      const double share = impl.network->shape().router_aux_loss_coef;
      if (output.loss.defined())
        output.loss = add(output.loss, cast(affine(output.aux_loss, share), output.loss.dtype()));
    }
    return output;
  }
  output.last_hidden_state = per_token(result.hidden, result.rows);
  if (impl.network->has_pooler()) output.pooler_output = impl.network->pool(result.hidden, result.rows);
  return output;
}

ModelOutput Model::operator()(const BatchEncoding& encoding) const {
  return (*this)(to_inputs(encoding));
}

const Config& Model::config() const {
  return impl_->config;
}
Task Model::task() const {
  return impl_->task;
}
DType Model::dtype() const {
  return impl_->store.options().dtype;
}
Device Model::device() const {
  return impl_->store.options().device;
}
const std::vector<std::pair<std::string, Tensor>>& Model::parameters() const {
  return impl_->store.parameters();
}

AdapterRegistry& Model::adapters() const {
  return impl_->store.adapters();
}

int64_t Model::num_parameters() const {
  int64_t total = 0;
  for (const auto& [name, tensor] : parameters()) total += tensor.numel();
  return total;
}

int64_t Model::max_tokens() const {
  const NetworkShape& shape = impl_->network->shape();
  const VirtualTokens* tokens = impl_->store.adapters().active_virtual_tokens();
  const bool counts = tokens != nullptr && (tokens->kind == VirtualTokenKind::prompt || !shape.encoder_decoder);
  return shape.max_tokens > 0 && counts ? std::max<int64_t>(shape.max_tokens - tokens->length, 1) : shape.max_tokens;
}
int64_t Model::hidden_size() const {
  return impl_->network->shape().hidden_size;
}

const Network& Model::network() const {
  return *impl_->network;
}
const GenerationConfig& Model::generation_config() const {
  if (impl_->generation == nullptr) {
    throw Error("a model for " + std::string(name(task())) + " generates nothing", "model",
                "open it for causal_lm or seq2seq_lm");
  }
  return *impl_->generation;
}
void Model::keep_generation_config(std::shared_ptr<const GenerationConfig> config) const {
  impl_->generation = std::move(config);
}
const Head& Model::head() const {
  if (impl_->head == nullptr) throw Error("a base model has no head", "model", "open it for a task");
  return *impl_->head;
}

void Model::train(bool on) const {
  if (on) impl_->store.widen();
  impl_->training = on;
  for (const auto& [module, slot] : impl_->store.adapters().slots) slot->set_training(on);
}

const Model& Model::to(Device device) const {
  impl_->store.to(device);
  impl_->options.device = device;
  return *this;
}

void Model::gradient_checkpointing_enable(bool on) const {
  impl_->checkpointing = on;
}

bool Model::training() const {
  return impl_->training;
}

void Model::zero_grad() const {
  for (const auto& [name, tensor] : parameters()) tensor.set_grad({});
  for (const auto& [module, slot] : adapters().slots) {
    for (const auto& [name, adapter] : slot->adapters()) {
      adapter.a.set_grad({});
      adapter.b.set_grad({});
    }
  }
  for (const auto& [name, tokens] : adapters().virtual_tokens) {
    for (const auto& [part, tensor] : tokens.parameters()) tensor.set_grad({});
  }
}

void Model::save_pretrained(const std::string& folder, int64_t max_shard_bytes) const {
  make_directories(folder);
  const NoGrad no_grad;
  const auto saved = impl_->store.to_save();
  save_checkpoint(folder, saved, {{"format", "pt"}}, max_shard_bytes);
  Config config = impl_->config;
  config.set("architectures", std::vector<std::string>{impl_->family->architecture(impl_->task)});
  std::map<DType, int64_t> elements;
  for (const auto& [name, tensor] : saved) elements[tensor.dtype()] += tensor.numel();
  const auto most = std::max_element(elements.begin(), elements.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  config.set("dtype", std::string(name(most == elements.end() ? DType::float32 : most->first)));
  config.save_pretrained(folder);
  if (impl_->generation != nullptr) save_generation_config(*impl_->generation, folder);
}

ModelInputs to_inputs(const BatchEncoding& encoding) {
  const auto rows = static_cast<int64_t>(encoding.size());
  if (rows == 0) throw Error("an empty batch", "model inputs", "encode at least one text");
  const size_t longest = encoding.input_ids.max_length();
  bool equal = true;
  for (const auto row : encoding.input_ids) equal = equal && row.size() == longest;
  const auto tensor = [&](const Ragged<int32_t>& values) {
    if (values.empty()) return Tensor();
    const std::vector<int64_t> wide(values.values().begin(), values.values().end());
    const auto count = static_cast<int64_t>(wide.size());
    return Tensor::from(wide, equal ? Shape{rows, count / rows} : Shape{count});
  };
  ModelInputs inputs;
  inputs.input_ids = tensor(encoding.input_ids);
  inputs.token_type_ids = tensor(encoding.token_type_ids);
  if (!encoding.attention_mask.empty()) inputs.attention_mask = tensor(encoding.attention_mask);
  if (!equal) {
    for (const auto row : encoding.input_ids) inputs.lengths.push_back(static_cast<int64_t>(row.size()));
  }
  return inputs;
}

}  // namespace mica
