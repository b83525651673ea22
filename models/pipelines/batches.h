#pragma once
// What every pipeline does between text and model: check, tokenize, sort by length, run ragged batches.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {

/// Called after each batch, from the calling thread: texts done so far, texts in all.
using Progress = std::function<void(int64_t done, int64_t total)>;

/// The longest input in tokens that both model and tokenizer take; nothing when neither has a limit.
std::optional<int64_t> token_limit(const Model& model, const Tokenizer& tokenizer);

/// Throws Error, naming the text by its number, for one that is not UTF-8.
void check_texts(std::span<const std::string_view> texts, const char* what = "text");

/// Texts (and pairs, if any) as rows of ids. Rows longer than `limit` tokens are cut, with one warning.
BatchEncoding tokenize_rows(const Tokenizer& tokenizer, std::span<const std::string_view> texts,
                            std::span<const std::string_view> pairs, std::optional<int64_t> limit,
                            Truncation truncation = Truncation::longest_first);

/// Row numbers, longest row first, `batch_size` at a time. Throws Error unless batch_size > 0.
std::vector<std::vector<size_t>> batches_by_length(const Ragged<int32_t>& ids, int64_t batch_size);

/// These rows as one ragged batch.
ModelInputs ragged_inputs(const BatchEncoding& encoding, std::span<const size_t> rows);

/// Runs `encoding` in batches; `receive` gets each batch's rows, and the outputs for them in that order.
void run_batches(const Model& model, const BatchEncoding& encoding, int64_t batch_size, const Progress& progress,
                 const std::function<void(std::span<const size_t> rows, const ModelOutput& output)>& receive);

std::vector<std::string_view> views_of(const std::vector<std::string>& texts);

}  // namespace mica
