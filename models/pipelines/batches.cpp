#include "mica/models/pipelines/batches.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

std::optional<int64_t> token_limit(const Model& model, const Tokenizer& tokenizer) {
  std::optional<int64_t> limit = tokenizer.model_max_length();
  if (model.max_tokens() > 0) limit = std::min(limit.value_or(model.max_tokens()), model.max_tokens());
  return limit;
}

void check_texts(std::span<const std::string_view> texts, const char* what) {
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!utf8::is_valid(texts[i])) {
      throw Error("not valid UTF-8: \"" + printable(texts[i], 60) + "\"", std::string(what) + " " + std::to_string(i),
                  "convert the text to UTF-8");
    }
  }
}

BatchEncoding tokenize_rows(const Tokenizer& tokenizer, std::span<const std::string_view> texts,
                            std::span<const std::string_view> pairs, std::optional<int64_t> limit,
                            Truncation truncation) {
  check_texts(texts);
  check_texts(pairs, "pair");
  TokenizerOptions options{.return_attention_mask = false};
  if (limit) {
    options.truncation = truncation;
    options.max_length = *limit;
  }
  BatchEncoding encoding = tokenizer.encode_batch(texts, pairs, options);
  if (!limit) return encoding;
  // A row as long as the limit may have been cut or may just fit: only encoding it whole tells.
  for (size_t row = 0; row < encoding.size(); ++row) {
    if (static_cast<int64_t>(encoding.input_ids[row].size()) < *limit) continue;
    const std::span<const std::string_view> pair = pairs.empty() ? pairs : pairs.subspan(row, 1);
    const size_t whole =
        tokenizer.encode_batch(texts.subspan(row, 1), pair, {.truncation = Truncation::none}).input_ids[0].size();
    if (static_cast<int64_t>(whole) <= *limit) continue;
    warn("text " + std::to_string(row) + " has " + std::to_string(whole) +
         " tokens; it and any other text of more than " + std::to_string(*limit) +
         ", the most this model takes, are cut");
    break;
  }
  return encoding;
}

std::vector<std::vector<size_t>> batches_by_length(const Ragged<int32_t>& ids, int64_t batch_size) {
  if (batch_size <= 0) {
    throw Error("batch size " + std::to_string(batch_size), "pipeline options", "use 1 or more");
  }
  std::vector<size_t> order(ids.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ids[a].size() > ids[b].size(); });
  std::vector<std::vector<size_t>> batches;
  for (size_t begin = 0; begin < order.size();) {
    const size_t count = std::min(order.size() - begin, static_cast<size_t>(batch_size));
    batches.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(begin),
                         order.begin() + static_cast<std::ptrdiff_t>(begin + count));
    begin += count;
  }
  return batches;
}

namespace {

Tensor gather(const Ragged<int32_t>& values, std::span<const size_t> rows, int64_t total) {
  const Tensor result = Tensor::empty({total}, DType::int64);
  int64_t* out = result.data<int64_t>();
  for (const size_t row : rows) out = std::copy(values[row].begin(), values[row].end(), out);
  return result;
}

}  // namespace

ModelInputs ragged_inputs(const BatchEncoding& encoding, std::span<const size_t> rows) {
  ModelInputs inputs;
  int64_t total = 0;
  for (const size_t row : rows) {
    inputs.lengths.push_back(static_cast<int64_t>(encoding.input_ids[row].size()));
    total += inputs.lengths.back();
  }
  inputs.input_ids = gather(encoding.input_ids, rows, total);
  if (!encoding.token_type_ids.empty()) inputs.token_type_ids = gather(encoding.token_type_ids, rows, total);
  return inputs;
}

void run_batches(const Model& model, const BatchEncoding& encoding, int64_t batch_size, const Progress& progress,
                 const std::function<void(std::span<const size_t>, const ModelOutput&)>& receive) {
  const NoGrad no_grad;
  const auto total = static_cast<int64_t>(encoding.size());
  int64_t done = 0;
  for (const std::vector<size_t>& rows : batches_by_length(encoding.input_ids, batch_size)) {
    receive(rows, model(ragged_inputs(encoding, rows)));
    done += static_cast<int64_t>(rows.size());
    if (progress) progress(done, total);
  }
}

std::vector<std::string_view> views_of(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

}  // namespace mica
