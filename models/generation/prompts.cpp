#include "mica/models/generation/prompts.h"

#include <algorithm>

#include "mica/base/error.h"

namespace mica {
namespace {

// Where each row's tokens stand in a flat list: `skipped` tokens of padding, then `kept` tokens.
struct RowPlace {
  int64_t begin = 0, kept = 0;
};

std::vector<RowPlace> places_of(const ModelInputs& inputs) {
  const Tensor& ids = inputs.input_ids;
  if (!ids.defined()) throw Error("no input_ids", "generate", "give the prompts' tokens");
  std::vector<RowPlace> rows;
  int64_t total = 0;
  if (!inputs.lengths.empty()) {
    for (const int64_t length : inputs.lengths) {
      if (length < 0 || length > ids.numel() - total) {
        throw Error("lengths that go beyond input_ids", "generate", "let them add up to its size");
      }
      rows.push_back({total, length});
      total += length;
    }
  } else if (ids.rank() == 2) {
    for (int64_t row = 0; row < ids.size(0); ++row) rows.push_back({row * ids.size(1), ids.size(1)});
    total = ids.numel();
  }
  if (rows.empty() || total != ids.numel()) {
    throw Error("input_ids of shape " + to_string(ids.shape()), "generate",
                "need [batch, tokens], or one row of tokens with lengths");
  }
  if (!inputs.attention_mask.defined()) return rows;
  if (inputs.attention_mask.numel() != ids.numel()) {
    throw Error("attention_mask of shape " + to_string(inputs.attention_mask.shape()), "generate",
                "it must be like input_ids, " + to_string(ids.shape()));
  }
  const std::vector<int64_t> mask = inputs.attention_mask.to_vector<int64_t>();
  for (size_t i = 0; i < rows.size(); ++i) {
    RowPlace& row = rows[i];
    while (row.kept > 0 && mask[static_cast<size_t>(row.begin)] == 0) {
      ++row.begin;
      --row.kept;
    }
    while (row.kept > 0 && mask[static_cast<size_t>(row.begin + row.kept - 1)] == 0) --row.kept;
    const auto first = mask.begin() + row.begin;
    if (std::find(first, first + row.kept, 0) != first + row.kept) {
      throw Error("prompt " + std::to_string(i) + " has a gap: attention_mask is 0 between tokens that it shows",
                  "generate", "pad on one side or both, not in between");
    }
  }
  return rows;
}

}  // namespace

Prompts prompts_of(const ModelInputs& inputs) {
  const std::vector<RowPlace> rows = places_of(inputs);
  const std::vector<int64_t> ids = inputs.input_ids.to_vector<int64_t>();
  Prompts prompts;
  for (const RowPlace& row : rows) {
    prompts.emplace_back(ids.begin() + row.begin, ids.begin() + row.begin + row.kept);
  }
  return prompts;
}

ModelInputs unpadded(const ModelInputs& inputs) {
  const std::vector<RowPlace> rows = places_of(inputs);
  const auto take = [&](const Tensor& tensor) {
    if (!tensor.defined()) return Tensor();
    if (tensor.numel() != inputs.input_ids.numel()) {
      throw Error("token_type_ids of shape " + to_string(tensor.shape()), "generate", "they must be like input_ids");
    }
    const std::vector<int64_t> values = tensor.to_vector<int64_t>();
    std::vector<int64_t> kept;
    for (const RowPlace& row : rows) {
      kept.insert(kept.end(), values.begin() + row.begin, values.begin() + row.begin + row.kept);
    }
    return Tensor::from(kept);
  };
  ModelInputs result = inputs;
  result.input_ids = take(inputs.input_ids);
  result.token_type_ids = take(inputs.token_type_ids);
  result.attention_mask = {};
  result.position_ids = {};
  result.lengths.clear();
  for (const RowPlace& row : rows) result.lengths.push_back(row.kept);
  return result;
}

int64_t prompt_room(int64_t context, const GenerationConfig& config) {
  if (context == INT64_MAX) return context;
  const int64_t wanted = config.max_new_tokens.value_or(1);
  // The last new token is never run, so a text may be one token longer than the context.
  return std::max<int64_t>(1, context + 1 - std::min(wanted, context / 2 + 1));
}

std::vector<int64_t> newest(const std::vector<int64_t>& prompt, int64_t room, std::optional<int64_t> start_token) {
  const auto length = static_cast<int64_t>(prompt.size());
  if (length <= room) return prompt;
  std::vector<int64_t> kept;
  if (room > 1 && start_token && prompt.front() == *start_token) kept.push_back(prompt.front());
  kept.insert(kept.end(), prompt.end() - (room - static_cast<int64_t>(kept.size())), prompt.end());
  return kept;
}

ModelSession start_session(const Model& model, const ModelInputs& inputs, int64_t capacity,
                           const std::optional<CacheQuantization>& quantization) {
  if (!model.network().shape().encoder_decoder) {
    const Prompts prompts = prompts_of(inputs);
    ModelInputs types;
    if (inputs.token_type_ids.defined()) {
      // [batch, longest], each row filled up with its last type: what new tokens have as well.
      const ModelInputs rows = unpadded(inputs);
      const std::vector<int64_t> flat = rows.token_type_ids.to_vector<int64_t>();
      const int64_t longest = std::max<int64_t>(1, *std::max_element(rows.lengths.begin(), rows.lengths.end()));
      std::vector<int64_t> padded;
      auto from = flat.begin();
      for (const int64_t length : rows.lengths) {
        padded.insert(padded.end(), from, from + length);
        padded.insert(padded.end(), static_cast<size_t>(longest - length), length > 0 ? *(from + length - 1) : 0);
        from += length;
      }
      types.token_type_ids = Tensor::from(padded, {static_cast<int64_t>(prompts.size()), longest});
    }
    return {model, types, static_cast<int64_t>(prompts.size()), capacity, quantization};
  }
  if (!inputs.input_ids.defined() && inputs.inputs_embeds.defined()) {
    const Tensor& embeds = inputs.inputs_embeds;
    const auto batch = inputs.lengths.empty() ? embeds.size(0) : static_cast<int64_t>(inputs.lengths.size());
    return {model, inputs, batch, capacity, quantization};
  }
  const ModelInputs rows = unpadded(inputs);
  for (size_t i = 0; i < rows.lengths.size(); ++i) {
    if (rows.lengths[i] == 0) {
      throw Error("input " + std::to_string(i) + " has no tokens", "generate", "give the encoder something to read");
    }
  }
  return {model, rows, static_cast<int64_t>(rows.lengths.size()), capacity, quantization};
}

}  // namespace mica
