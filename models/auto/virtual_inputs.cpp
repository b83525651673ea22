#include "mica/models/auto/virtual_inputs.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/embedding.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/modules/positions.h"

namespace mica {
namespace {

bool is_prompt(const VirtualTokens& tokens) {
  return tokens.kind == VirtualTokenKind::prompt;
}

bool labels_tokens(Task task) {
  return task == Task::causal_lm || task == Task::token_classification;
}

// How a call's texts lie as rows.
SequenceOffsets sequences_of(const ModelInputs& inputs, Device device) {
  if (!inputs.lengths.empty()) return SequenceOffsets::from_lengths(inputs.lengths, device);
  const bool by_ids = inputs.input_ids.defined();
  const Tensor& given = by_ids ? inputs.input_ids : inputs.inputs_embeds;
  if (!given.defined() || given.rank() != (by_ids ? 2 : 3) || given.numel() == 0) {
    throw Error(given.defined() ? "inputs of shape " + to_string(given.shape()) : "no input_ids", "virtual tokens",
                "give [batch, tokens], or a ragged batch");
  }
  return SequenceOffsets::uniform(given.size(0), given.size(1), device);
}

// Texts with a prompt before each.
class Longer {
 public:
  Longer(const ModelInputs& inputs, int64_t length, Device device)
      : sequences_(sequences_of(inputs, device)), length_(length), ragged_(!inputs.lengths.empty()) {
    for (int64_t s = 0; s < sequences_.count(); ++s) lengths_.push_back(length + sequences_.length(s));
  }

  const SequenceOffsets& sequences() const { return sequences_; }
  std::vector<int64_t> lengths() const { return ragged_ ? lengths_ : std::vector<int64_t>(); }
  Shape shape() const {
    const int64_t rows = sequences_.rows() + sequences_.count() * length_;
    return ragged_ ? Shape{rows} : Shape{sequences_.count(), lengths_[0]};
  }

  // Values of the tokens, those of the prompt being `fill`.
  Tensor integers(const Tensor& values, const char* name, int64_t fill) const {
    if (!values.defined()) return {};
    if (is_floating(values.dtype()) || values.numel() != sequences_.rows()) {
      throw Error("input \"" + std::string(name) + "\" has shape " + to_string(values.shape()), "virtual tokens",
                  "it must be integers, one for each token");
    }
    return Tensor::from(filled_prefix(values.to_vector<int64_t>(), sequences_, length_, fill), shape());
  }

 private:
  SequenceOffsets sequences_;
  int64_t length_;
  bool ragged_;
  std::vector<int64_t> lengths_;
};

// Token types do not go along with texts that are continued: the reference leaves them out. Those that say nothing may
// be left out in silence.
Tensor silent_types(const Tensor& types) {
  if (!types.defined()) return {};
  const std::vector<int64_t> values = types.to_vector<int64_t>();
  if (std::any_of(values.begin(), values.end(), [](int64_t each) { return each != 0; })) {
    throw Error("token_type_ids of a language model with virtual tokens", "virtual tokens", "leave them out");
  }
  return {};
}

Tensor moved_positions(const Tensor& positions, int64_t by) {
  std::vector<int64_t> values = positions.to_vector<int64_t>();
  for (int64_t& each : values) each += by;
  return Tensor::from(values, positions.shape());
}

Tensor embeddings_of(const Network& network, const ModelInputs& inputs, int64_t rows) {
  if (!inputs.input_ids.defined()) return reshape(inputs.inputs_embeds, Shape{rows, inputs.inputs_embeds.size(-1)});
  const Tensor& table = network.input_embeddings();
  const Tensor ids = inputs.input_ids.to(DType::int64).contiguous().reshape({rows});
  const Tensor words = embedding(table, ids.device() == table.device() ? ids : ids.to(table.device()));
  const double scale = network.shape().word_scale;
  return scale == 1 ? words : affine(words, scale);
}

ModelInputs with_prompt(const VirtualTokens& tokens, const Network& network, Task task, const ModelInputs& inputs) {
  if (inputs.global_attention_mask.defined() || inputs.task_type_ids.defined() || inputs.prefix_length >= 0) {
    throw Error("a global_attention_mask, task_type_ids or a prefix_length with a prompt of virtual tokens",
                "virtual tokens", "leave them out");
  }
  const Device device = network.input_embeddings().device();
  const Longer longer(inputs, tokens.length, device);
  const int64_t rows = longer.sequences().rows();
  const Tensor words = embeddings_of(network, inputs, rows);
  const Tensor prompt = cast(tokens.prompt(), words.dtype());
  if (prompt.size(1) != words.size(1)) {
    throw Error("virtual tokens of size " + std::to_string(prompt.size(1)), "virtual tokens",
                "this model's embeddings have size " + std::to_string(words.size(1)));
  }
  const Tensor index = index_tensor(rows_behind_prefix(longer.sequences(), tokens.length)).to(device);
  const Tensor joined = index_select(cat({prompt, words}, 0), index);
  ModelInputs result = inputs;
  result.input_ids = {};
  const Shape shape = longer.shape();
  std::vector<int64_t> dims(shape.begin(), shape.end());
  dims.push_back(joined.size(1));
  result.inputs_embeds = reshape(joined, Shape(dims));
  result.lengths = longer.lengths();
  result.attention_mask = longer.integers(inputs.attention_mask, "attention_mask", 1);
  result.token_type_ids = longer.integers(result.token_type_ids, "token_type_ids", 0);
  if (labels_tokens(task)) result.labels = longer.integers(inputs.labels, "labels", -100);
  if (inputs.position_ids.defined()) {
    std::vector<int64_t> places =
        longer.integers(moved_positions(inputs.position_ids, tokens.length), "position_ids", 0).to_vector<int64_t>();
    size_t at = 0;
    for (int64_t s = 0; s < longer.sequences().count(); ++s) {
      for (int64_t i = 0; i < tokens.length; ++i) places[at + static_cast<size_t>(i)] = i;
      at += static_cast<size_t>(tokens.length + longer.sequences().length(s));
    }
    result.position_ids = Tensor::from(places, longer.shape());
  }
  return result;
}

// Results of the tokens that were given, of those of all.
Tensor without_prompt(const Tensor& values, int64_t length, const ModelInputs& longer) {
  if (longer.lengths.empty()) return slice(values, 1, length, values.size(1));
  std::vector<int64_t> kept;
  int64_t begin = 0;
  for (const int64_t each : longer.lengths) {
    for (int64_t i = length; i < each; ++i) kept.push_back(begin + i);
    begin += each;
  }
  return index_select(values, index_tensor(kept).to(values.device()));
}

// Reads a prompt as the first tokens of every text.
void read_prompt(const VirtualTokens& tokens, const Network& network, int64_t batch, Device device,
                 DecodingState* state) {
  Rows rows;
  rows.device = device;
  rows.offsets = SequenceOffsets::uniform(batch, tokens.length, device);
  rows.tokens_shape = {rows.rows()};
  const Tensor prompt = tokens.prompt();
  rows.inputs_embeds = cat(std::vector<Tensor>(static_cast<size_t>(batch), prompt), 0);
  rows.position_ids = positions_from_zero(rows.offsets);
  network.decode(rows, state);
}

void put_prefix(const PrefixStates& prefix, int64_t batch, KeyValueCache* cache) {
  const auto repeated = [&](const Tensor& one) { return cat(std::vector<Tensor>(static_cast<size_t>(batch), one), 0); };
  cache->begin(std::vector<int64_t>(static_cast<size_t>(batch), prefix.length));
  for (size_t i = 0; i < prefix.key_values.size(); ++i) {
    const auto& [key, value] = prefix.key_values[i];
    cache->append(static_cast<int64_t>(i), repeated(key), repeated(value));
  }
  cache->end();
}

}  // namespace

const VirtualTokens* virtual_tokens_of(const Model& model) {
  return model.adapters().active_virtual_tokens();
}

ModelInputs with_virtual_tokens(const VirtualTokens& tokens, const Network& network, Task task,
                                const ModelInputs& inputs) {
  ModelInputs result = inputs;
  if (task == Task::causal_lm || task == Task::seq2seq_lm) result.token_type_ids = silent_types(inputs.token_type_ids);
  if (is_prompt(tokens)) return with_prompt(tokens, network, task, result);
  result.prefix = tokens.prefix();
  if (!network.shape().encoder_decoder && inputs.position_ids.defined()) {
    result.position_ids = moved_positions(inputs.position_ids, tokens.length);
  }
  return result;
}

ModelInputs with_virtual_tokens(const Model& model, const ModelInputs& inputs) {
  const VirtualTokens* tokens = virtual_tokens_of(model);
  return tokens == nullptr ? inputs : with_virtual_tokens(*tokens, model.network(), model.task(), inputs);
}

void drop_virtual_tokens(const VirtualTokens& tokens, const Network& network, Task task, const ModelInputs& inputs,
                         ModelOutput* output) {
  if (!is_prompt(tokens)) return;
  const auto drop = [&](Tensor* values) {
    if (values->defined()) *values = without_prompt(*values, tokens.length, inputs);
  };
  if (network.shape().encoder_decoder) return drop(&output->encoder_last_hidden_state);
  for (Tensor& each : output->hidden_states) drop(&each);
  if (labels_tokens(task)) drop(&output->logits);
}

int64_t virtual_positions(const Model& model) {
  const VirtualTokens* tokens = virtual_tokens_of(model);
  const bool of_encoder = tokens != nullptr && is_prompt(*tokens) && model.network().shape().encoder_decoder;
  return tokens == nullptr || of_encoder ? 0 : tokens->length;
}

std::unique_ptr<DecodingState> start_decoding(const Model& model, const ModelInputs& inputs, int64_t batch,
                                              int64_t capacity, const std::optional<CacheQuantization>& quantization) {
  const Network& network = model.network();
  const VirtualTokens* tokens = virtual_tokens_of(model);
  const auto start = [&](const ModelInputs& given, int64_t most) {
    auto state = network.start_decoding(given, batch, most, model.device());
    if (!quantization) return state;
    if (state == nullptr) {
      throw Error("a cache in 8 bits for a model that reads its texts whole", "generate",
                  "leave cache_implementation out");
    }
    state->cache().quantize(*quantization);
    return state;
  };
  if (tokens == nullptr) return start(inputs, capacity);
  silent_types(inputs.token_type_ids);
  const bool of_encoder = is_prompt(*tokens) && network.shape().encoder_decoder;
  auto state = start(of_encoder ? with_virtual_tokens(model, inputs) : inputs, capacity + virtual_positions(model));
  if (state == nullptr || of_encoder) return state;
  if (is_prompt(*tokens)) {
    read_prompt(*tokens, network, batch, model.device(), state.get());
  } else {
    put_prefix(*tokens->prefix(), batch, &state->cache());
  }
  return state;
}

}  // namespace mica
