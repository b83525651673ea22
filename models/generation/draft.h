#pragma once
// Drafts: tokens guessed to come next, for the model to check many at a time.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mica/models/generation/decoding.h"

namespace mica {

/// The guess for one row: tokens, and where they were drawn the distribution of each, [tokens, vocab] probabilities.
struct Draft {
  std::vector<int64_t> tokens;
  std::vector<float> probabilities;  ///< empty where the tokens were not drawn
};

/// Where drafts come from. Rows are numbered as the session's.
class Drafter {
 public:
  virtual ~Drafter() = default;
  /// Fills in drafts[i] for row i, at most limits[i] tokens; rows of texts `rows[i]`.
  virtual void guess(std::span<GenerationRow* const> rows, std::span<const int64_t> limits,
                     std::span<Draft> drafts) = 0;
  /// Of the row's last draft, `accepted` of `drafted` tokens were right, and `text` is the row now.
  virtual void learn(int64_t row, const GenerationRow& text, int64_t drafted, int64_t accepted) = 0;
  /// Row i is what row rows[i] was.
  virtual void reorder(std::span<const int64_t> rows) = 0;
};

/// Looks the text's last n-gram up in the text before, and guesses that what followed there follows here
/// (prompt_lookup_num_tokens, max_matching_ngram_size).
std::unique_ptr<Drafter> lookup_drafter(const Decoding& decoding);

/// Lets a smaller model go on for some tokens, until one of them is less likely than assistant_confidence_threshold
/// (num_assistant_tokens and its schedule).
std::unique_ptr<Drafter> model_drafter(const Decoding& decoding, GenerationSession& draft);

}  // namespace mica
