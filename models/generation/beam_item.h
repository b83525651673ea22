#pragma once
// Beam search of one prompt: which candidates go on and which finished texts are kept.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "mica/models/generation/decoding.h"

namespace mica {

/// A text of a beam with its sum of processed log probabilities; finished, with the score that ranks it.
struct Beam {
  GenerationRow text;
  float score = 0;
  bool done = false;
};

/// The running beams of a prompt and its best finished texts, as many each as num_beams.
class BeamItem {
 public:
  BeamItem(const Decoding& decoding, int64_t prompt);

  int64_t prompt() const { return prompt_; }
  const std::vector<Beam>& running() const { return running_; }
  /// Beam (of the step before) that running beam i continues.
  const std::vector<int64_t>& parents() const { return parents_; }
  const std::vector<Beam>& finished() const { return finished_; }
  bool open() const { return open_; }

  /// One step. `scores` [beams * vocab]: processed log probabilities of each running beam's next token. `all_end`:
  /// texts end now, whatever their last token.
  void advance(std::span<const float> scores, std::optional<FinishReason> all_end);

 private:
  struct Candidate {
    int64_t beam, token;
    float score;
    std::optional<FinishReason> finish;
    std::unique_ptr<TokenConstraint> constraint;
  };
  void pick();
  void pick_by_chance();
  void judge(std::optional<FinishReason> all_end);
  void extend(Beam& beam, const Candidate& candidate, std::span<const float> scores) const;
  void keep_finished(std::span<const float> scores);
  void go_on(std::span<const float> scores);
  bool better_ones_possible() const;
  float ranked(float score, int64_t new_tokens) const;

  const Decoding& decoding_;
  int64_t prompt_;
  int64_t beams_;
  int64_t candidates_wanted_;
  int64_t step_ = 0;
  bool open_ = true;
  std::vector<Beam> running_, next_, finished_;
  std::vector<float> log_sums_;  // of each running beam's scores, if log probabilities are asked for
  std::vector<int64_t> parents_, order_;
  std::vector<Candidate> candidates_;
  std::vector<float> sums_;  // scores with those of the beams added
  std::vector<float> probabilities_;
};

}  // namespace mica
