#include "mica/models/pipelines/fill_mask.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/models/pipelines/json_writer.h"

namespace mica {
namespace {

// Logits of all tokens over the whole vocabulary are large: batches are kept below this many of them.
constexpr int64_t kMaxLogits = 64 << 20;

int32_t mask_id(const Tokenizer& tokenizer) {
  const std::optional<int32_t> id = tokenizer.mask_token_id();
  if (!id) throw Error("the tokenizer has no mask token", "fill-mask", "use a model trained to fill masks");
  return *id;
}

std::vector<size_t> masks_of(std::span<const int32_t> ids, int32_t mask) {
  std::vector<size_t> places;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == mask) places.push_back(i);
  }
  return places;
}

struct Scored {
  int64_t token;
  float score;
};

std::vector<Scored> top(std::span<const float> probabilities, const std::vector<int64_t>& targets, int64_t top_k) {
  std::vector<Scored> scored;
  if (targets.empty()) {
    for (size_t i = 0; i < probabilities.size(); ++i) scored.push_back({static_cast<int64_t>(i), probabilities[i]});
  } else {
    for (const int64_t id : targets) scored.push_back({id, probabilities[static_cast<size_t>(id)]});
  }
  const size_t count = std::min(scored.size(), static_cast<size_t>(top_k));
  std::partial_sort(
      scored.begin(), scored.begin() + static_cast<std::ptrdiff_t>(count), scored.end(),
      [](const Scored& a, const Scored& b) { return a.score != b.score ? a.score > b.score : a.token < b.token; });
  scored.resize(count);
  return scored;
}

void write(JsonWriter& json, const Fill& fill) {
  json.begin_object().key("score").value(fill.score).key("token").value(fill.token);
  json.key("token_str").value(fill.token_str).key("sequence").value(fill.sequence).end_object();
}

void write(JsonWriter& json, const std::vector<Fill>& fills) {
  json.begin_array();
  for (const Fill& each : fills) write(json, each);
  json.end_array();
}

}  // namespace

FillMaskPipeline::FillMaskPipeline(const std::string& name_or_folder, const PipelineOptions& options)
    : parts_(PipelineParts::open(name_or_folder, Task::masked_lm, options)) {
  mask_id(parts_.tokenizer);
}

FillMaskPipeline::FillMaskPipeline(Model model, Tokenizer tokenizer) : parts_{std::move(model), std::move(tokenizer)} {
  mask_id(parts_.tokenizer);
}

std::vector<int64_t> FillMaskPipeline::target_ids(const std::vector<std::string>& targets) const {
  const Tokenizer& tokenizer = parts_.tokenizer;
  check_texts(views_of(targets), "target");
  std::vector<int64_t> ids;
  for (const std::string& target : targets) {
    std::optional<int32_t> id = tokenizer.token_to_id(target);
    if (!id) {
      const std::vector<int32_t> pieces = tokenizer.encode(target, {.add_special_tokens = false});
      if (pieces.empty()) {
        warn("target \"" + printable(target) + "\" is no token of this model: left out");
        continue;
      }
      id = pieces[0];
      warn("target \"" + printable(target) + "\" is no token of this model: \"" + tokenizer.convert_ids_to_tokens(*id) +
           "\" is used instead");
    }
    const int64_t vocabulary = parts_.model.config().vocab_size;
    if (*id >= vocabulary) {
      throw Error("target \"" + printable(target) + "\" has id " + std::to_string(*id), "fill-mask",
                  "this model's vocabulary ends at " + std::to_string(vocabulary - 1));
    }
    if (std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  }
  if (ids.empty() && !targets.empty()) throw Error("no target is a token", "fill-mask", "give at least one that is");
  return ids;
}

std::vector<std::vector<Fill>> FillMaskPipeline::operator()(std::string_view text,
                                                            const FillMaskOptions& options) const {
  return (*this)(std::vector<std::string>{std::string(text)}, options)[0];
}

std::vector<std::vector<std::vector<Fill>>> FillMaskPipeline::operator()(const std::vector<std::string>& texts,
                                                                         const FillMaskOptions& options) const {
  if (options.top_k < 1) throw Error("top_k is " + std::to_string(options.top_k), "fill-mask", "use 1 or more");
  const Model& model = parts_.model;
  const Tokenizer& tokenizer = parts_.tokenizer;
  const std::vector<int64_t> targets = target_ids(options.targets);
  const BatchEncoding encoding = tokenize_rows(tokenizer, views_of(texts), {}, token_limit(model, tokenizer));
  const int32_t mask = mask_id(tokenizer);
  for (size_t row = 0; row < encoding.size(); ++row) {
    if (masks_of(encoding.input_ids[row], mask).empty()) {
      throw Error("no " + tokenizer.mask_token().value_or("mask") + " in \"" + printable(texts[row], 60) + "\"",
                  "text " + std::to_string(row), "put " + tokenizer.mask_token().value_or("a mask") + " into the text");
    }
  }
  const int64_t vocabulary = model.config().vocab_size;
  const auto longest = static_cast<int64_t>(encoding.input_ids.max_length());
  const int64_t fitting = std::max<int64_t>(1, kMaxLogits / std::max<int64_t>(1, longest * vocabulary));
  std::vector<std::vector<std::vector<Fill>>> results(texts.size());

  const auto fill = [&](std::span<const int32_t> row, size_t place, bool single, const Scored& word) {
    std::vector<int64_t> ids;
    for (size_t i = 0; i < row.size(); ++i) {
      const int64_t id = i == place ? word.token : row[i];
      if (id != tokenizer.pad_token_id().value_or(-1)) ids.push_back(id);
    }
    // The other masks are special tokens: they stay visible.
    return Fill{tokenizer.decode(ids, {.skip_special_tokens = single}), word.score, word.token,
                tokenizer.decode({word.token})};
  };
  const auto receive = [&](std::span<const size_t> rows, const ModelOutput& output) {
    std::vector<int64_t> places;
    int64_t begin = 0;
    for (const size_t row : rows) {
      for (const size_t place : masks_of(encoding.input_ids[row], mask)) {
        places.push_back(begin + static_cast<int64_t>(place));
      }
      begin += static_cast<int64_t>(encoding.input_ids[row].size());
    }
    std::vector<float> logits =
        index_select(output.logits, Tensor::from(places).to(output.logits.device())).to_vector<float>();
    const auto classes = static_cast<size_t>(output.logits.size(-1));
    size_t next = 0;
    for (const size_t row : rows) {
      const std::span<const int32_t> ids = encoding.input_ids[row];
      const std::vector<size_t> masks = masks_of(ids, mask);
      for (const size_t place : masks) {
        const std::span<float> scores = std::span(logits).subspan(next, classes);
        next += classes;
        softmax_in_place(scores);
        std::vector<Fill>& fills = results[row].emplace_back();
        for (const Scored& word : top(scores, targets, options.top_k)) {
          fills.push_back(fill(ids, place, masks.size() == 1, word));
        }
      }
    }
  };
  run_batches(model, encoding, std::min(options.batch_size, fitting), options.progress, receive);
  return results;
}

std::string to_json(const Fill& fill) {
  JsonWriter json;
  write(json, fill);
  return json.text();
}

std::string to_json(const std::vector<std::vector<Fill>>& masks) {
  JsonWriter json;
  if (masks.size() == 1) {
    write(json, masks[0]);
    return json.text();
  }
  json.begin_array();
  for (const std::vector<Fill>& each : masks) write(json, each);
  return json.end_array().text();
}

}  // namespace mica
