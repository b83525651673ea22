#pragma once
// Sessions without a network, for tests of generate(): logits are a table's, or follow a script.

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mica/models/generation/session.h"
#include "mica/tensor/tensor.h"

namespace mica::toy {

/// Keeps the tokens of each row and asks logits_of for what comes after them. Fails a test for a call that the contract
/// forbids.
class Session : public GenerationSession {
 public:
  Session(int64_t vocab, int64_t max_length) : vocab_(vocab), max_length_(max_length) {}

  int64_t vocab_size() const override { return vocab_; }
  int64_t batch() const override { return static_cast<int64_t>(rows_.size()); }
  int64_t length(int64_t row) const override { return static_cast<int64_t>(rows_[static_cast<size_t>(row)].size()); }
  int64_t max_length() const override { return max_length_; }
  Tensor append(std::span<const std::vector<int64_t>> tokens, Positions positions) override;
  void reorder(std::span<const int64_t> rows) override;
  void truncate(int64_t row, int64_t length) override;

  const std::vector<std::vector<int64_t>>& rows() const { return rows_; }
  int appends = 0;         ///< calls of append()
  int64_t tokens_run = 0;  ///< tokens appended in all

 protected:
  virtual void logits_of(std::span<const int64_t> ids, float* out) const = 0;

 private:
  int64_t vocab_, max_length_;
  std::vector<std::vector<int64_t>> rows_, moved_;
  Tensor output_;  // handed out again while the shape stays
};

/// logits = 3 A[last token] + 2 B[token before it], tables [vocab, vocab] from the hash stream
/// (tests/golden/README.md); the model of tests/models/data/generation/generate.py.
class TableSession : public Session {
 public:
  explicit TableSession(int64_t vocab = 16, int64_t max_length = 64, const std::string& name = "toy");
  void logits_of(std::span<const int64_t> ids, float* out) const override;

 private:
  std::vector<float> last_, before_;
};

/// The next token is always script[number of tokens], with logit 5; all others have 0.
class ScriptSession : public Session {
 public:
  ScriptSession(int64_t vocab, std::vector<int64_t> script) : Session(vocab, 1000), script_(std::move(script)) {}

 protected:
  void logits_of(std::span<const int64_t> ids, float* out) const override;

 private:
  std::vector<int64_t> script_;
};

/// The chi-square statistic of counts against probabilities; bins that cannot be must be empty.
double chi_square(const std::vector<int64_t>& counts, const std::vector<double>& expected);
/// What a chi-square statistic exceeds once in ten thousand times (Wilson and Hilferty).
double chi_square_limit(int64_t degrees_of_freedom);

}  // namespace mica::toy
