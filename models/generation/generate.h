#pragma once
// generate(): texts that continue prompts, by greedy search, sampling, beam search or assisted decoding.

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mica/models/generation/constraint.h"
#include "mica/models/generation/generation_config.h"
#include "mica/models/generation/logits_processor.h"
#include "mica/models/generation/session.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Receives new tokens as they come. Rows are those of GenerationOutput; the prompt is not put.
class TokenStreamer {
 public:
  virtual ~TokenStreamer() = default;
  virtual void put(int64_t row, std::span<const int64_t> tokens) = 0;
  /// The row is finished.
  virtual void end(int64_t row) = 0;
};

/// What generate() is given besides settings. All of it is optional and has to outlive the call.
struct GenerationHooks {
  /// Text of tokens: needed for stop_strings.
  std::function<std::string(std::span<const int64_t>)> decode;
  /// Not in beam search, whose tokens are settled only at the end.
  TokenStreamer* streamer = nullptr;
  /// Applied after those of the settings, before temperature, top_k and the like.
  LogitsProcessors processors;
  /// One for all prompts or one for each (null: none); each row starts with a clone.
  std::vector<const TokenConstraint*> constraints;
  /// Looked at in each step; true ends all rows.
  const std::atomic<bool>* interrupt = nullptr;
  /// A smaller model with the same vocabulary, whose drafts the model checks. Its rows are the prompts, too.
  GenerationSession* draft = nullptr;
  /// What the encoder read, for encoder_repetition_penalty and encoder_no_repeat_ngram_size; else the prompts.
  const std::vector<std::vector<int64_t>>* encoder_ids = nullptr;
};

enum class FinishReason : uint8_t { end_token, length, stop_string, constraint, max_time, interrupted };

/// Rows: prompt 0's texts, prompt 1's texts, ...; num_return_sequences of each, in beam search the best first. `new` is
/// the number of new tokens of the longest row; what lies behind a row's end is filled up.
struct GenerationOutput {
  /// int64 [rows, prompt_length + new], filled up with the padding token: shorter prompts on the left, texts on the
  /// right. The padding token is pad_token_id, else the first end token, else 0.
  Tensor sequences;
  int64_t prompt_length = 0;  ///< columns of `sequences` that are prompt
  /// The new tokens of each row without padding; with the end token, or the tokens of the stop string.
  std::vector<std::vector<int64_t>> tokens;
  std::vector<FinishReason> finish;
  /// Beam search: float32 [rows], sum of log probabilities / (new tokens)^length_penalty.
  Tensor sequences_scores;
  /// Beam search: int64 [rows, new], which of the rows of `scores` each token was chosen from; -1 behind the end.
  Tensor beam_indices;
  /// With output_scores and output_logits: float32 [rows, vocab] for each step, processed and as the model gave them;
  /// in beam search prompts x num_beams rows. Zero for rows that have ended.
  std::vector<Tensor> scores, logits;
  /// With output_scores or output_transition_scores: float32 [rows, new], the processed score of each token, and the
  /// logarithm of its probability by the processed scores. 0 behind the end.
  Tensor transition_scores, log_probabilities;
};

/// Continues each prompt. `config` is what holds for this call (the model's settings .with() the call's own).
///
/// A prompt without tokens starts with decoder_start_token_id, else bos_token_id. What the session holds of the prompts
/// already is not run again. Rows are ragged: nothing depends on the other prompts of the batch, max_length counts a
/// row's own tokens, and in sampling the same prompt and seed give the same text in every batch.
///
/// Throws Error for settings that cannot be (GenerationConfig::validate), a prompt that leaves no room for a new token,
/// scores that are no numbers, and rows for which every token is barred.
GenerationOutput generate(GenerationSession& session, const std::vector<std::vector<int64_t>>& prompts,
                          const GenerationConfig& config, const GenerationHooks& hooks = {});

}  // namespace mica
