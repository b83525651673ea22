#include "mica/models/heads/pooling.h"

#include <algorithm>
#include <string>
#include <vector>

#include "mica/autograd/linear.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

[[noreturn]] void empty_sequence(int64_t sequence) {
  throw Error("sequence " + std::to_string(sequence) + " is empty", "model inputs", "give at least one token");
}

}  // namespace

Tensor last_rows(const Tensor& hidden, const Rows& rows, const std::optional<int64_t>& pad_token_id) {
  const bool ragged = rows.tokens_shape.rank() == 1;
  if (!pad_token_id && rows.batch() > 1 && !ragged) {
    throw Error("a batch of " + std::to_string(rows.batch()) + " sequences for a model without a padding token",
                "model inputs", "set pad_token_id in the config, or give the sequences one by one");
  }
  const std::vector<int64_t> ids =
      rows.input_ids.defined() ? rows.input_ids.to_vector<int64_t>() : std::vector<int64_t>();
  std::vector<int64_t> index;
  for (int64_t s = 0; s < rows.batch(); ++s) {
    const int64_t begin = rows.offsets.begin(s);
    int64_t last = begin + rows.offsets.length(s) - 1;
    if (last < begin) empty_sequence(s);
    if (pad_token_id && !ids.empty()) {
      while (last > begin && ids[static_cast<size_t>(last)] == pad_token_id) --last;
    }
    index.push_back(last);
  }
  return index_select(hidden, Tensor::from(index).to(rows.device));
}

Tensor last_rows(const Tensor& hidden, const Rows& rows) {
  std::vector<int64_t> index;
  for (int64_t s = 0; s < rows.batch(); ++s) {
    if (rows.offsets.length(s) == 0) empty_sequence(s);
    index.push_back(rows.offsets.begin(s) + rows.offsets.length(s) - 1);
  }
  return index_select(hidden, Tensor::from(index).to(rows.device));
}

Tensor end_rows(const Tensor& hidden, const Rows& rows, const Tensor& input_ids,
                const std::vector<double>& eos_token_ids) {
  if (eos_token_ids.size() != 1) {
    throw Error(std::to_string(eos_token_ids.size()) + " end tokens in the config", "model inputs",
                "this head looks at the last one of each sequence: give eos_token_id as one number");
  }
  const auto eos_token_id = static_cast<int64_t>(eos_token_ids.front());
  if (!input_ids.defined() || input_ids.numel() != rows.rows()) {
    throw Error("input_ids do not match the decoder's rows", "model inputs",
                "this head finds the end token in input_ids: leave decoder_input_ids out");
  }
  const std::vector<int64_t> ids = input_ids.to_vector<int64_t>();
  std::vector<int64_t> index;
  int64_t count = -1;
  for (int64_t s = 0; s < rows.batch(); ++s) {
    const auto begin = ids.begin() + rows.offsets.begin(s);
    const auto end = begin + rows.offsets.length(s);
    const auto found = static_cast<int64_t>(std::count(begin, end, eos_token_id));
    if (found == 0 || (count >= 0 && found != count)) {
      throw Error("sequence " + std::to_string(s) + " has " + std::to_string(found) + " end tokens", "model inputs",
                  "every sequence needs the same number of eos_token_id " + std::to_string(eos_token_id));
    }
    count = found;
    int64_t last = rows.offsets.begin(s) + rows.offsets.length(s) - 1;
    while (ids[static_cast<size_t>(last)] != eos_token_id) --last;
    index.push_back(last);
  }
  return index_select(hidden, Tensor::from(index).to(rows.device));
}

Tensor first_shown_rows(const Tensor& hidden, const Rows& rows) {
  if (!rows.shown.defined()) return first_rows(hidden, rows);
  const std::vector<uint8_t> mask = rows.shown.to_vector<uint8_t>();
  std::vector<int64_t> index;
  for (int64_t s = 0; s < rows.batch(); ++s) {
    const auto begin = mask.begin() + rows.offsets.begin(s);
    const auto shown = std::find(begin, begin + rows.offsets.length(s), 1);
    if (shown == begin + rows.offsets.length(s)) empty_sequence(s);
    index.push_back(shown - mask.begin());
  }
  return index_select(hidden, Tensor::from(index).to(rows.device));
}

Tensor mean_rows(const Tensor& hidden, const Rows& rows) {
  const std::vector<uint8_t> mask = rows.shown.defined() ? rows.shown.to_vector<uint8_t>() : std::vector<uint8_t>();
  std::vector<float> weights(static_cast<size_t>(rows.batch() * rows.rows()), 0.0F);
  for (int64_t s = 0; s < rows.batch(); ++s) {
    const int64_t begin = rows.offsets.begin(s);
    const int64_t end = begin + rows.offsets.length(s);
    const auto shown = [&](int64_t i) { return mask.empty() || mask[static_cast<size_t>(i)] != 0; };
    int64_t count = 0;
    for (int64_t i = begin; i < end; ++i) count += shown(i) ? 1 : 0;
    if (count == 0) empty_sequence(s);
    for (int64_t i = begin; i < end; ++i) {
      if (shown(i)) weights[static_cast<size_t>(s * rows.rows() + i)] = 1.0F / static_cast<float>(count);
    }
  }
  return matmul(Tensor::from(weights, {rows.batch(), rows.rows()}).to(hidden.dtype()).to(rows.device), hidden);
}

}  // namespace mica
