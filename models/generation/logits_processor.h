#pragma once
// What changes the scores of the next token before one is chosen.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace mica {

struct GenerationConfig;

/// The text so far of one row.
struct RowText {
  std::span<const int64_t> ids;          ///< prompt and new tokens; of an encoder-decoder, the decoder's
  int64_t prompt_length = 0;             ///< how many of them are the prompt
  int64_t max_length = 0;                ///< at which the row ends
  std::span<const int64_t> encoder_ids;  ///< what the encoder read; the prompt, where there is no encoder
};

/// Memory that processors share and that lives as long as the row, so that no step allocates.
struct ProcessorScratch {
  std::vector<float> probabilities, values;
  std::vector<int64_t> order;
  std::vector<uint64_t> bits;  ///< zero between calls
};

class LogitsProcessor {
 public:
  virtual ~LogitsProcessor() = default;
  /// Changes `scores`, [vocab]: logits, or log probabilities in beam search; -infinity bars a token. Rows may be
  /// processed by several threads at a time.
  virtual void process(const RowText& row, std::span<float> scores, ProcessorScratch& scratch) const = 0;
};

using LogitsProcessors = std::vector<std::shared_ptr<const LogitsProcessor>>;

/// The processors that settings ask for, in transformers' order. `config` is resolved().
struct ProcessorLists {
  /// Penalties, bans and forced tokens; the caller's own come after them.
  static LogitsProcessors rules(const GenerationConfig& config, int64_t vocab_size);
  /// What cuts the distribution before a token is drawn; empty unless do_sample. A constraint masks before these, so
  /// that they choose among what it allows.
  static LogitsProcessors cuts(const GenerationConfig& config);
  /// renormalize_logits, which comes last.
  static LogitsProcessors last(const GenerationConfig& config);
};

struct SequenceBias;

// One by one, for callers who make their own list. Of those that keep at least `keep` tokens, generate() keeps 1, and
// in beam search one more than there are end tokens.

namespace logits {

// repetition.cpp
/// A token of the text: logit / penalty, or logit * penalty where it is negative.
std::shared_ptr<const LogitsProcessor> repetition_penalty(double penalty);
/// The same for tokens of the encoder's text, with 1 / penalty: above 1 makes them likelier.
std::shared_ptr<const LogitsProcessor> encoder_repetition_penalty(double penalty);
/// Bars each token that would complete an n-gram that the text has already.
std::shared_ptr<const LogitsProcessor> no_repeat_ngram(int64_t size);
/// Bars each token that would complete an n-gram of the encoder's text.
std::shared_ptr<const LogitsProcessor> encoder_no_repeat_ngram(int64_t size);

// token_bias.cpp
std::shared_ptr<const LogitsProcessor> sequence_bias(std::vector<SequenceBias> biases, int64_t vocab_size);
/// Bars the last token of each sequence where the text ends with the others; single end tokens are left alone.
std::shared_ptr<const LogitsProcessor> no_bad_words(const std::vector<std::vector<int64_t>>& words,
                                                    std::span<const int64_t> end_tokens, int64_t vocab_size);
std::shared_ptr<const LogitsProcessor> suppress_tokens(std::vector<int64_t> tokens);
/// Bars them for the first new token; with a forced first token after a prompt of one, for the one behind that.
std::shared_ptr<const LogitsProcessor> begin_suppress_tokens(std::vector<int64_t> tokens, bool forced_bos);

// length_rules.cpp
std::shared_ptr<const LogitsProcessor> min_length(int64_t length, std::vector<int64_t> end_tokens);
std::shared_ptr<const LogitsProcessor> min_new_tokens(int64_t count, std::vector<int64_t> end_tokens);
/// The only possible second token of a row.
std::shared_ptr<const LogitsProcessor> forced_bos_token(int64_t token, int64_t vocab_size);
/// The only possible tokens at the end of the row, at max_length.
std::shared_ptr<const LogitsProcessor> forced_eos_token(std::vector<int64_t> tokens, int64_t vocab_size);
std::shared_ptr<const LogitsProcessor> exponential_decay_length_penalty(int64_t start, double factor,
                                                                        std::vector<int64_t> end_tokens);

// sampling_cuts.cpp, typical_cuts.cpp
std::shared_ptr<const LogitsProcessor> temperature(double value);
/// Keeps the k largest, and those equal to the k-th.
std::shared_ptr<const LogitsProcessor> top_k(int64_t k, int64_t keep = 1);
/// Keeps the likeliest tokens up to that which makes their sum reach p.
std::shared_ptr<const LogitsProcessor> top_p(double p, int64_t keep = 1);
/// Keeps tokens at least min_p times as likely as the likeliest.
std::shared_ptr<const LogitsProcessor> min_p(double p, int64_t keep = 1);
/// Keeps the likeliest tokens as long as their entropy is at most h times that of the 100 likeliest.
std::shared_ptr<const LogitsProcessor> top_h(double h);
/// Keeps tokens whose information is nearest to the entropy, up to a sum of p (Meister et al. 2022).
std::shared_ptr<const LogitsProcessor> typical_p(double p, int64_t keep = 1);
/// Bars tokens less likely than epsilon (Hewitt et al. 2022).
std::shared_ptr<const LogitsProcessor> epsilon_cutoff(double epsilon, int64_t keep = 1);
/// Bars tokens less likely than min(epsilon, sqrt(epsilon) exp(-entropy)) (Hewitt et al. 2022).
std::shared_ptr<const LogitsProcessor> eta_cutoff(double epsilon, int64_t keep = 1);

// normal_form.cpp
/// NaN becomes 0, an infinite number the largest or lowest finite one.
std::shared_ptr<const LogitsProcessor> remove_invalid_values();
/// Logarithms of probabilities that add up to 1.
std::shared_ptr<const LogitsProcessor> renormalize();

}  // namespace logits
}  // namespace mica
