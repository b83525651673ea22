#include "mica/tests/models/generation/toy_session.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "mica/tests/support/golden.h"

namespace mica::toy {

Tensor Session::append(std::span<const std::vector<int64_t>> tokens, Positions positions) {
  ++appends;
  if (rows_.empty()) rows_.resize(tokens.size());
  EXPECT_EQ(tokens.size(), rows_.size());
  int64_t count = 0;
  for (const auto& row : tokens) count += positions == Positions::all ? static_cast<int64_t>(row.size()) : 1;
  if (!output_.defined() || output_.size(0) != count) output_ = Tensor::empty({count, vocab_});
  float* out = output_.data<float>();
  for (size_t i = 0; i < tokens.size(); ++i) {
    EXPECT_FALSE(tokens[i].empty());
    tokens_run += static_cast<int64_t>(tokens[i].size());
    for (size_t j = 0; j < tokens[i].size(); ++j) {
      if (rows_[i].capacity() == rows_[i].size()) rows_[i].reserve(4096);
      rows_[i].push_back(tokens[i][j]);
      EXPECT_LE(static_cast<int64_t>(rows_[i].size()), max_length_);
      if (positions == Positions::last && j + 1 < tokens[i].size()) continue;
      logits_of(rows_[i], out);
      out += vocab_;
    }
  }
  return output_;
}

void Session::reorder(std::span<const int64_t> rows) {
  EXPECT_FALSE(rows.empty());
  moved_.resize(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    moved_[i].reserve(4096);
    moved_[i] = rows_.at(static_cast<size_t>(rows[i]));
  }
  std::swap(rows_, moved_);
}

void Session::truncate(int64_t row, int64_t length) {
  EXPECT_LE(length, this->length(row));
  rows_.at(static_cast<size_t>(row)).resize(static_cast<size_t>(length));
}

TableSession::TableSession(int64_t vocab, int64_t max_length, const std::string& name) : Session(vocab, max_length) {
  for (int64_t i = 0; i < vocab * vocab; ++i) {
    last_.push_back(3 * static_cast<float>(golden::uniform(name + ".last", i)));
    before_.push_back(2 * static_cast<float>(golden::uniform(name + ".before", i)));
  }
}

void TableSession::logits_of(std::span<const int64_t> ids, float* out) const {
  const auto vocab = static_cast<size_t>(vocab_size());
  const float* last = last_.data() + static_cast<size_t>(ids.back()) * vocab;
  std::copy(last, last + vocab, out);
  if (ids.size() == 1) return;
  const float* before = before_.data() + static_cast<size_t>(ids[ids.size() - 2]) * vocab;
  for (size_t i = 0; i < vocab; ++i) out[i] += before[i];
}

void ScriptSession::logits_of(std::span<const int64_t> ids, float* out) const {
  std::fill(out, out + vocab_size(), 0.0F);
  if (ids.size() < script_.size()) out[script_[ids.size()]] = 5;
}

double chi_square(const std::vector<int64_t>& counts, const std::vector<double>& expected) {
  int64_t total = 0;
  for (const int64_t count : counts) total += count;
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double wanted = expected[i] * static_cast<double>(total);
    if (expected[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "bin " << i << " cannot be";
      continue;
    }
    sum += (static_cast<double>(counts[i]) - wanted) * (static_cast<double>(counts[i]) - wanted) / wanted;
  }
  return sum;
}

double chi_square_limit(int64_t degrees_of_freedom) {
  const auto n = static_cast<double>(degrees_of_freedom);
  const double root = 1 - 2 / (9 * n) + 3.719 * std::sqrt(2 / (9 * n));  // 3.719: the normal's quantile of 0.9999
  return n * root * root * root;
}

}  // namespace mica::toy
