#include "mica/models/architectures/encoder_decoder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/models/architectures/decoder.h"
#include "mica/models/architectures/decoding.h"

namespace mica {
namespace {

constexpr int64_t kIgnored = -100;  // a label that does not count

// The word tables of both stacks. Files may have copies of the shared one under the stacks' own names, or those alone.
WordTables word_tables(const Scope& scope, const EncoderDecoderSpec& spec) {
  if (spec.shared.empty()) return {};
  const std::string table = "." + spec.encoder.names.word_embeddings + ".weight";
  const std::string encoder = "encoder" + table, decoder = "decoder" + table, shared = spec.shared + ".weight";
  const auto make = [&] {
    return scope.matrix(shared, {spec.encoder.vocab_size, spec.encoder.embedding_size}, spec.encoder.padding_idx);
  };
  // Tables that are not tied are in the file; older files, whose tables always were, have the shared one alone.
  if (!spec.ties_tables && (!scope.has_file() || (scope.in_file(encoder) && scope.in_file(decoder)))) {
    if (!scope.has_file() || scope.in_file(shared)) make();
    return {};
  }
  scope.spell(shared, encoder);
  scope.spell(shared, decoder);
  const Tensor words = make();
  return {scope.tied(encoder, words), scope.tied(decoder, words)};
}

}  // namespace

EncoderDecoder::EncoderDecoder(std::unique_ptr<Network> encoder, Linear bridge, Stack decoder, const ShiftSpec& shift)
    : spec_(shift),
      encoder_(std::move(encoder)),
      bridge_(std::move(bridge)),
      decoder_(std::move(decoder)),
      shape_(shape_of(decoder_.spec())) {
  shape_.encoder_decoder = true;
  shape_.max_target_tokens = shape_.max_tokens;
  shape_.max_tokens = encoder_->shape().max_tokens;
  shape_.word_scale = encoder_->shape().word_scale;
}

EncoderDecoder::EncoderDecoder(const Scope& scope, const EncoderDecoderSpec& spec)
    : EncoderDecoder(scope, spec, word_tables(scope, spec)) {}

EncoderDecoder::EncoderDecoder(const Scope& scope, const EncoderDecoderSpec& spec, const WordTables& words)
    : EncoderDecoder{std::make_unique<StackNetwork>(scope / "encoder", spec.encoder, false, words.encoder), Linear(),
                     Stack(scope / "decoder", spec.decoder, words.decoder), spec} {}

Tensor EncoderDecoder::shifted(const Tensor& ids) const {
  if (ids.rank() != 2 || ids.size(1) == 0) {
    throw Error("labels of shape " + to_string(ids.shape()), "model inputs", "need [batch, tokens]");
  }
  std::vector<int64_t> values = ids.to_vector<int64_t>();
  const int64_t tokens = ids.size(1);
  for (int64_t& each : values) {
    if (each == kIgnored) each = spec_.pad_token_id;
  }
  for (auto row = values.begin(); row != values.end(); row += tokens) {
    int64_t first = spec_.decoder_start_token_id;
    if (spec_.wraps) {
      // Padding stands at the end: as many tokens as are none, so many places before the last of them.
      const auto padding = static_cast<int64_t>(std::count(row, row + tokens, spec_.pad_token_id));
      first = *(row + std::max<int64_t>(tokens - padding - 1, 0));
    }
    if (first < 0) {
      throw Error("no decoder_start_token_id in the config", "model inputs",
                  "set it, or give decoder_input_ids yourself");
    }
    std::copy_backward(row, row + tokens - 1, row + tokens);
    *row = first;
  }
  return Tensor::from(values, ids.shape());
}

ModelInputs EncoderDecoder::decoder_inputs(const ModelInputs& inputs) const {
  ModelInputs result;
  result.input_ids = inputs.decoder_input_ids;
  result.attention_mask = inputs.decoder_attention_mask;
  result.inputs_embeds = inputs.decoder_inputs_embeds;
  result.output_hidden_states = inputs.output_hidden_states;
  result.prefix = inputs.prefix;
  if (!result.input_ids.defined() && !result.inputs_embeds.defined()) {
    if (inputs.labels.defined() && inputs.labels.rank() == 2 && !is_floating(inputs.labels.dtype())) {
      result.input_ids = shifted(inputs.labels);
      if (spec_.hides_padding && !result.attention_mask.defined()) {
        std::vector<int64_t> shown = result.input_ids.to_vector<int64_t>();
        for (int64_t& each : shown) each = each == spec_.pad_token_id ? 0 : 1;
        result.attention_mask = Tensor::from(shown, result.input_ids.shape());
      }
    } else if (spec_.decoder_reads_input && inputs.input_ids.defined() && inputs.lengths.empty()) {
      result.input_ids = shifted(inputs.input_ids);
    } else {
      throw Error("neither decoder_input_ids nor labels were given", "model inputs",
                  "give one of them: the decoder reads the labels shifted to the right");
    }
  }
  return result;
}

CrossStates EncoderDecoder::cross_states(const NetworkOutput& encoded) const {
  return decoder_.cross_states(bridge_.defined() ? bridge_(encoded.hidden) : encoded.hidden, encoded.rows);
}

NetworkOutput EncoderDecoder::forward(const ModelInputs& inputs, Device device, bool training) const {
  NetworkOutput output;
  output.rows = to_rows(decoder_inputs(inputs), device);
  output.rows.training = training;
  ModelInputs source = inputs;
  source.output_hidden_states = false;
  source.prefix = nullptr;
  const NetworkOutput encoded = encoder_->forward(source, device, training);
  output.encoder_rows = encoded.rows;
  output.encoder_hidden = encoded.hidden;
  if (output.rows.batch() != output.encoder_rows.batch()) {
    throw Error(std::to_string(output.rows.batch()) + " decoder sequences for " +
                    std::to_string(output.encoder_rows.batch()) + " inputs",
                "model inputs", "give as many of each");
  }
  const CrossStates states = cross_states(encoded);
  Stack::Output result = decoder_(output.rows, nullptr, &states);
  output.hidden = std::move(result.hidden);
  output.hidden_states = std::move(result.hidden_states);
  return output;
}

std::unique_ptr<DecodingState> EncoderDecoder::start_decoding(const ModelInputs& inputs, int64_t batch,
                                                              int64_t capacity, Device device) const {
  const NetworkOutput encoded = encoder_->forward(inputs, device, false);
  if (encoded.rows.batch() != batch) {
    throw Error(std::to_string(encoded.rows.batch()) + " inputs for " + std::to_string(batch) + " texts", "generate",
                "give as many of each");
  }
  return std::make_unique<DecodingState>(
      KeyValueCache(static_cast<int64_t>(decoder_.spec().layers.size()), batch, capacity, device),
      cross_states(encoded));
}

Tensor EncoderDecoder::decode(const Rows& rows, DecodingState* state) const {
  return decoder_(rows, &state->cache(), state->cross()).hidden;
}

std::unique_ptr<Network> encoder_half(const Scope& scope, EncoderDecoderSpec spec) {
  const Tensor words = word_tables(scope, spec).encoder;
  return std::make_unique<StackNetwork>(scope / "encoder", std::move(spec.encoder), false, words);
}

std::unique_ptr<Network> decoder_half(const Scope& scope, EncoderDecoderSpec spec) {
  return std::make_unique<StackNetwork>(scope / "decoder", std::move(spec.decoder), false);
}

}  // namespace mica
