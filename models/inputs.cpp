#include "mica/models/inputs.h"

#include "mica/base/error.h"

namespace mica {
namespace {

struct NamedInput {
  const char* name;
  Tensor ModelInputs::*member;
};

constexpr NamedInput kInputs[] = {
    {"input_ids", &ModelInputs::input_ids},
    {"attention_mask", &ModelInputs::attention_mask},
    {"token_type_ids", &ModelInputs::token_type_ids},
    {"position_ids", &ModelInputs::position_ids},
    {"task_type_ids", &ModelInputs::task_type_ids},
    {"inputs_embeds", &ModelInputs::inputs_embeds},
    {"global_attention_mask", &ModelInputs::global_attention_mask},
    {"decoder_input_ids", &ModelInputs::decoder_input_ids},
    {"decoder_attention_mask", &ModelInputs::decoder_attention_mask},
    {"decoder_inputs_embeds", &ModelInputs::decoder_inputs_embeds},
    {"labels", &ModelInputs::labels},
    {"start_positions", &ModelInputs::start_positions},
    {"end_positions", &ModelInputs::end_positions},
    {"next_sentence_label", &ModelInputs::next_sentence_label},
    {"sentence_order_label", &ModelInputs::sentence_order_label},
};

// Whether an input stays where it is: while work of its device is recorded the host knows none of it, and what the host
// checks here was checked before.
bool stays(const Tensor& input) {
  return !input.device().is_cpu() && backend(input.device()).recording();
}

// An optional per-token input as int64 [rows] on the host; it may have batch size 1 where the batch is larger.
Tensor flatten(const Tensor& input, const char* name, const Shape& expected) {
  if (!input.defined()) return {};
  if (is_floating(input.dtype())) {
    throw Error("input \"" + std::string(name) + "\" is " + std::string(mica::name(input.dtype())), "model inputs",
                "it must be an integer tensor");
  }
  Tensor result = stays(input) ? input : input.to(Device{});
  if (!(input.shape() == expected)) {
    bool broadcasts = input.rank() == expected.rank() && input.rank() > 1 && input.size(0) == 1;
    for (int i = 1; broadcasts && i < expected.rank(); ++i) broadcasts = input.size(i) == expected[i];
    if (!broadcasts) {
      throw Error("input \"" + std::string(name) + "\" has shape " + to_string(input.shape()), "model inputs",
                  "it must be " + to_string(expected) + ", as the other inputs");
    }
    result = result.expand(expected).contiguous();
  }
  return result.to(DType::int64).contiguous().reshape({expected.numel()});
}

}  // namespace

Tensor& ModelInputs::operator[](std::string_view wanted) {
  for (const NamedInput& input : kInputs) {
    if (wanted == input.name) return this->*input.member;
  }
  throw Error("unknown input \"" + printable(wanted) + "\"", "model inputs",
              "models here take input_ids, attention_mask, token_type_ids, position_ids, labels, ...");
}

const std::vector<std::string>& ModelInputs::names() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> list;
    for (const NamedInput& input : kInputs) list.emplace_back(input.name);
    return list;
  }();
  return all;
}

std::vector<std::pair<std::string, Tensor>> ModelOutput::named() const {
  std::vector<std::pair<std::string, Tensor>> result;
  const auto add = [&](const char* label, const Tensor& tensor) {
    if (tensor.defined()) result.emplace_back(label, tensor);
  };
  add("loss", loss);
  add("aux_loss", aux_loss);
  add("logits", logits);
  add("prediction_logits", prediction_logits);
  add("seq_relationship_logits", seq_relationship_logits);
  add("sop_logits", sop_logits);
  add("start_logits", start_logits);
  add("end_logits", end_logits);
  add("last_hidden_state", last_hidden_state);
  add("pooler_output", pooler_output);
  add("encoder_last_hidden_state", encoder_last_hidden_state);
  for (size_t i = 0; i < hidden_states.size(); ++i) {
    result.emplace_back("hidden_states." + std::to_string(i), hidden_states[i]);
  }
  return result;
}

Rows Rows::sequences(int64_t first, int64_t last) const {
  std::vector<int64_t> lengths;
  for (int64_t i = first; i < last; ++i) lengths.push_back(offsets.length(i));
  const int64_t begin = offsets.begin(first);
  Rows part = *this;
  part.offsets = SequenceOffsets::from_lengths(lengths, device);
  const int64_t end = begin + part.offsets.rows();
  for (Tensor* each : {&part.input_ids, &part.token_type_ids, &part.position_ids, &part.task_type_ids, &part.shown,
                       &part.key_mask, &part.global_mask}) {
    if (each->defined()) *each = each->slice(0, begin, end);
  }
  if (inputs_embeds.defined()) {
    part.inputs_embeds = inputs_embeds.reshape({rows(), inputs_embeds.size(-1)}).slice(0, begin, end);
  }
  part.tokens_shape = {part.offsets.rows()};
  return part;
}

Rows to_rows(const ModelInputs& inputs, Device device) {
  const bool by_ids = inputs.input_ids.defined();
  if (by_ids == inputs.inputs_embeds.defined()) {
    throw Error(
        by_ids ? "both input_ids and inputs_embeds were given" : "neither input_ids nor inputs_embeds was given",
        "model inputs", "give exactly one of them");
  }
  Rows rows;
  rows.device = device;
  rows.output_hidden_states = inputs.output_hidden_states;
  rows.prefix_length = inputs.prefix_length;
  rows.prefix = inputs.prefix;
  Shape shape = by_ids ? inputs.input_ids.shape() : inputs.inputs_embeds.shape();
  if (!by_ids) {
    if (shape.rank() < 2)
      throw Error("inputs_embeds has shape " + to_string(shape), "model inputs", "need [batch, tokens, size]");
    shape = Shape(shape.span().subspan(0, static_cast<size_t>(shape.rank()) - 1));
  }
  if (!inputs.lengths.empty()) {
    rows.offsets = SequenceOffsets::from_lengths(inputs.lengths, device);
    if (shape.rank() != 1 || shape[0] != rows.offsets.rows()) {
      throw Error(
          "a ragged batch of " + std::to_string(rows.offsets.rows()) + " tokens with input shape " + to_string(shape),
          "model inputs", "give input_ids as one row of all tokens");
    }
    rows.tokens_shape = shape;
  } else {
    if (shape.rank() < 2 || shape.numel() == 0) {
      throw Error("input of shape " + to_string(shape), "model inputs", "need [batch, tokens] with at least one token");
    }
    const int64_t tokens = shape[-1];
    rows.offsets = SequenceOffsets::uniform(shape.numel() / tokens, tokens, device);
    rows.tokens_shape = {shape.numel() / tokens, tokens};
  }
  rows.input_ids = flatten(inputs.input_ids, "input_ids", shape);
  rows.token_type_ids = flatten(inputs.token_type_ids, "token_type_ids", shape);
  rows.position_ids = flatten(inputs.position_ids, "position_ids", shape);
  rows.task_type_ids = flatten(inputs.task_type_ids, "task_type_ids", shape);
  rows.global_mask = flatten(inputs.global_attention_mask, "global_attention_mask", shape);
  if (rows.global_mask.defined()) rows.global_mask = rows.global_mask.to(DType::boolean);
  if (!by_ids) rows.inputs_embeds = inputs.inputs_embeds.to(device);
  if (inputs.attention_mask.defined()) {
    const Tensor mask = flatten(inputs.attention_mask, "attention_mask", shape);
    bool all = !stays(mask);
    const int64_t* values = all ? mask.data<int64_t>() : nullptr;
    for (int64_t i = 0; values != nullptr && i < mask.numel(); ++i) {
      if (values[i] != 0 && values[i] != 1) {
        throw Error("attention_mask holds " + std::to_string(values[i]), "model inputs",
                    "use 1 for visible and 0 for hidden");
      }
      all = all && values[i] == 1;
    }
    if (!all) {
      rows.shown = mask.to(DType::boolean);
      rows.key_mask = rows.shown.to(device);
    }
  }
  return rows;
}

}  // namespace mica
