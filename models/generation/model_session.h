#pragma once
// A model as generate() sees it.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "mica/base/recycled.h"
#include "mica/models/architectures/decoding.h"
#include "mica/models/auto/model.h"
#include "mica/models/generation/recorded_steps.h"
#include "mica/models/generation/session.h"

namespace mica {

/// A causal language model, or an encoder-decoder, with the keys and values of what it has seen. Networks that can only
/// run whole texts do so for every token.
class ModelSession : public GenerationSession {
 public:
  /// `inputs`: of an encoder-decoder, what its encoder reads, a sequence a row; of a decoder only token_type_ids
  /// [batch, tokens] matter: those of the prompts, the last of which new tokens share. `capacity`: tokens a row may
  /// grow to without another allocation. `quantization`: keeps the older keys and values of the texts in 8 bits (those
  /// of an encoder's states stay as they are). Throws Error for a model without a language head.
  ModelSession(Model model, const ModelInputs& inputs, int64_t batch, int64_t capacity,
               const std::optional<CacheQuantization>& quantization = {});

  int64_t vocab_size() const override;
  int64_t batch() const override { return static_cast<int64_t>(texts_.size()); }
  int64_t length(int64_t row) const override { return static_cast<int64_t>(texts_[static_cast<size_t>(row)].size()); }
  int64_t max_length() const override;
  Tensor append(std::span<const std::vector<int64_t>> tokens, Positions positions) override;
  bool chooses() const override { return !model_.device().is_cpu(); }
  std::vector<int64_t> append_and_choose(std::span<const std::vector<int64_t>> tokens, const SamplingRule& rule,
                                         std::span<const RowDraw> texts) override;
  /// From now on steps of one token a row are recorded once and replayed, where the device and the network can
  /// (docs/cuda.md). The cache's capacity is what the session was started with.
  void record_steps();
  void reorder(std::span<const int64_t> rows) override;
  void truncate(int64_t row, int64_t length) override;

 private:
  Tensor run(std::span<const std::vector<int64_t>> tokens, Positions positions);
  void check_tokens(std::span<const std::vector<int64_t>> tokens) const;
  void note(std::span<const std::vector<int64_t>> tokens);
  Tensor run_cached(std::span<const std::vector<int64_t>> tokens, Positions positions);
  Tensor run_part(std::span<const std::vector<int64_t>> tokens, Positions positions, std::span<const int64_t> done,
                  std::span<const int64_t> counts, RecycledVector<int64_t>* places);
  void forget();
  Tensor run_whole(std::span<const std::vector<int64_t>> tokens, Positions positions) const;
  std::vector<int64_t> types_of(size_t row, int64_t first, int64_t count) const;

  Model model_;
  int64_t virtual_;                          // positions before every text
  std::unique_ptr<DecodingState> state_;     // null: whole texts
  std::vector<std::vector<int64_t>> texts_;  // tokens of each row so far
  std::vector<std::vector<int64_t>> types_;  // token types of each row's prompt; empty: none
  std::vector<int64_t> prompts_;             // tokens of each row's first call
  std::unique_ptr<RecordedSteps> steps_;     // null: none are recorded
  std::vector<int64_t> read_;                // tokens of each row that the state has; the others are read again
};

}  // namespace mica
