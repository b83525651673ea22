#pragma once
// What all strategies share: the settings of one call, its rows, how scores are processed, and how results are laid
// out.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mica/models/generation/generate.h"
#include "mica/models/generation/stopping.h"

namespace mica {

/// One text on its way.
struct GenerationRow {
  int64_t prompt = 0;        ///< which prompt it continues
  int64_t sample = 0;        ///< which of that prompt's texts it is
  std::vector<int64_t> ids;  ///< prompt and new tokens
  int64_t prompt_length = 0;
  int64_t max_length = 0;
  std::optional<FinishReason> finish;
  std::unique_ptr<TokenConstraint> constraint;
  std::vector<float> transitions, logs;  ///< of the new tokens, if they are asked for
  std::vector<int64_t> origins;          ///< of the new tokens, in beam search

  int64_t new_tokens() const { return static_cast<int64_t>(ids.size()) - prompt_length; }
  /// A copy without the constraint.
  void assign(const GenerationRow& other);
};

/// Working memory of one row of the batch.
struct RowScratch {
  ProcessorScratch processors;
  std::vector<float> scores;
  std::vector<uint64_t> mask;
};

/// Logits on the host: row i is `data + i * vocab`, as long as `tensor` lives.
struct HostLogits {
  Tensor tensor;
  const float* data = nullptr;
  int64_t vocab = 0;
  std::span<const float> row(int64_t i) const { return {data + i * vocab, static_cast<size_t>(vocab)}; }
};

class Decoding {
 public:
  Decoding(GenerationSession& session, const std::vector<std::vector<int64_t>>& prompts, const GenerationConfig& config,
           const GenerationHooks& hooks);

  const GenerationConfig& config() const { return config_; }
  const GenerationHooks& hooks() const { return hooks_; }
  const StopRules& stop() const { return stop_; }
  uint64_t seed() const { return seed_; }
  GenerationSession& session() const { return session_; }
  int64_t vocab() const { return vocab_; }
  bool wants_transitions() const { return wants_transitions_; }
  int64_t prompts() const { return static_cast<int64_t>(prompts_.size()); }

  /// A row that holds a prompt.
  GenerationRow start(int64_t prompt, int64_t sample) const;
  /// Runs the prompts, but for what the session holds of them already.
  HostLogits prefill(GenerationSession& session) const;
  /// What of the prompts the session has not read.
  std::vector<std::vector<int64_t>> unread(const GenerationSession& session) const;
  /// The settings as a session's append_and_choose() takes them; nothing where they ask for more: other processors,
  /// constraints, scores in the result.
  std::optional<SamplingRule> rule() const;
  static HostLogits append(GenerationSession& session, std::span<const std::vector<int64_t>> tokens,
                           GenerationSession::Positions positions = GenerationSession::Positions::last);

  /// Whether process() changes nothing.
  bool plain(const GenerationRow& row) const;
  /// Rules, constraint, cuts and normalisation on the row's scores, in place.
  void process(const GenerationRow& row, std::span<float> scores, RowScratch& scratch) const;

  /// Results: what `scores` and `logits` hold of a step, of `rows` rows.
  void keep_scores(int64_t step, int64_t row, int64_t rows, std::span<const float> scores);
  void keep_logits(int64_t step, int64_t row, int64_t rows, std::span<const float> logits);
  GenerationOutput finish(std::vector<GenerationRow>& rows);

 private:
  void run(const LogitsProcessors& list, const RowText& text, std::span<float> scores, RowScratch& scratch) const;

  GenerationSession& session_;
  GenerationConfig config_;
  const GenerationHooks& hooks_;
  StopRules stop_;
  std::vector<std::vector<int64_t>> prompts_;
  int64_t vocab_;
  uint64_t seed_ = 0;
  bool wants_transitions_;
  LogitsProcessors rules_, cuts_, last_;
  GenerationOutput output_;
};

/// The strategies.
GenerationOutput sample_texts(Decoding& decoding);  ///< greedy without do_sample
GenerationOutput beam_search(Decoding& decoding);
GenerationOutput assisted_decoding(Decoding& decoding);

}  // namespace mica
