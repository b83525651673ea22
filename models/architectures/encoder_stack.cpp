#include "mica/models/architectures/encoder_stack.h"

#include <cmath>
#include <string>

#include "mica/base/error.h"

namespace mica {
namespace {

// "encoder.layer" of layers called "encoder.layer.0", "encoder.layer.1", ...; empty where they are called otherwise.
std::string layers_name(const EncoderSpec& spec) {
  if (spec.layer_names.empty()) return spec.names.layer;
  const std::string& first = spec.layer_names[0];
  if (!first.ends_with(".0")) return "";
  std::string name = first.substr(0, first.size() - 2);
  for (size_t i = 0; i < spec.layer_names.size(); ++i) {
    if (spec.layer_names[i] != name + "." + std::to_string(i)) return "";
  }
  return name;
}

void put_embeddings(const EncoderSpec& from, StackSpec* to) {
  to->vocab_size = from.vocab_size;
  to->embedding_size = from.embedding_size;
  to->hidden_size = from.hidden_size;
  to->type_vocab_size = from.type_vocab_size;
  to->padding_idx = from.padding_idx;
  to->project_sum = from.project_always || from.embedding_size != from.hidden_size;
  to->embedding_dropout = to->hidden_dropout = from.hidden_dropout;
  to->max_position_embeddings = from.max_position_embeddings;
  if (from.names.position_embeddings.empty()) return;
  to->positions = PositionTable::learned;
  to->position_padding_idx = from.position_padding_idx;
  if (from.positions == PositionKind::from_zero) return;
  to->position_rule = PositionRule::from_padding;
  to->position_offset = from.position_padding_idx + 1;
  to->max_position_embeddings -= to->position_offset;
}

AttentionSpec attention_of(const EncoderSpec& spec, const std::string& before) {
  const EncoderNames& names = spec.names;
  AttentionSpec attention;
  attention.num_attention_heads = attention.num_key_value_heads = spec.num_attention_heads;
  attention.head_dim = spec.hidden_size / spec.num_attention_heads;
  attention.query_bias = attention.key_bias = attention.value_bias = attention.output_bias = true;
  attention.scale = 1 / std::sqrt(static_cast<double>(attention.head_dim));
  attention.causal = spec.causal;
  attention.dropout = spec.attention_dropout;
  attention.names = {.query = before + names.query,
                     .key = before + names.key,
                     .value = before + names.value,
                     .output = before + names.attention_output};
  return attention;
}

}  // namespace

bool has_stack(const EncoderSpec& spec) {
  return !layers_name(spec).empty() && spec.task_type_vocab_size == 0 && spec.relative_buckets == 0 &&
         std::holds_alternative<std::monostate>(spec.attention);
}

StackSpec stack_of(const EncoderSpec& from) {
  if (!has_stack(from)) {
    throw Error("a decoder of this family", "architectures",
                "layers that share weights, task types and shared biases of distances are for encoders only");
  }
  const EncoderNames& names = from.names;
  StackSpec spec;
  put_embeddings(from, &spec);
  spec.norm = {.eps = from.layer_norm_eps};
  spec.names = {.word_embeddings = names.word_embeddings,
                .position_embeddings = names.position_embeddings,
                .type_embeddings = names.token_type_embeddings,
                .embeddings_norm = names.embeddings_norm,
                .project_in = names.embeddings_project,
                .layers = layers_name(from),
                .attention_norm = "",
                .mlp_norm = "",
                .final_norm = names.final_norm,
                .pooler = names.pooler};
  const bool before = from.norms == NormPlacement::before;
  (before ? spec.names.attention_norm : spec.names.attention_sum_norm) = names.attention_norm;
  (before ? spec.names.cross_norm : spec.names.cross_sum_norm) = "cross" + names.attention_norm;
  (before ? spec.names.mlp_norm : spec.names.mlp_sum_norm) = names.output_norm;
  LayerSpec layer;
  layer.attention = attention_of(from, "");
  if (from.cross_attention) layer.cross = attention_of(from, "cross");
  layer.mlp = {.kind = MlpKind::plain,
               .intermediate_size = from.intermediate_size,
               .activation = from.activation,
               .bias = true,
               .names = {.up = names.intermediate, .down = names.output}};
  spec.repeat(layer, from.num_hidden_layers);
  return spec;
}

}  // namespace mica
