#pragma once
// The next token of a row, and what its arrival changes.

#include <cstdint>
#include <optional>
#include <span>

#include "mica/models/generation/decoding.h"

namespace mica {

struct Choice {
  int64_t token = 0;
  float transition = 0, log_probability = 0;  ///< if they are asked for
  std::span<const float> scores;              ///< processed; in the logits or the scratch
};

/// Throws the Error for a row of which every token is barred, and for one whose likeliest is infinite.
[[noreturn]] void no_token_possible();
[[noreturn]] void infinite_scores();

/// Processes a copy of the logits (or looks at them in place where there is nothing to process), which ends up in
/// scratch.scores or is the logits themselves. Throws Error when every token is barred.
std::span<const float> processed(const Decoding& decoding, const GenerationRow& row, std::span<const float> logits,
                                 RowScratch& scratch);

/// The likeliest token, or with do_sample one drawn by softmax(scores).
Choice choose(const Decoding& decoding, const GenerationRow& row, std::span<const float> logits, RowScratch& scratch);

/// Fills in `transition` and `log_probability` if they are asked for.
void rate(const Decoding& decoding, Choice& choice);

/// Appends the token to the text of output row `row`, streams it, and says in text.finish whether the text ends; at the
/// latest with `all_end`.
void add_token(const Decoding& decoding, GenerationRow& text, int64_t row, const Choice& choice,
               std::optional<FinishReason> all_end);

}  // namespace mica
