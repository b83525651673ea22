// Which processors settings ask for, in transformers' order.

#include <algorithm>

#include "mica/models/generation/generation_config.h"
#include "mica/models/generation/logits_processor.h"

namespace mica {

LogitsProcessors ProcessorLists::rules(const GenerationConfig& c, int64_t vocab) {
  LogitsProcessors list;
  const std::vector<int64_t>& ends = c.eos_token_id.values();
  if (c.sequence_bias && !c.sequence_bias->empty()) list.push_back(logits::sequence_bias(*c.sequence_bias, vocab));
  if (*c.encoder_repetition_penalty != 1)
    list.push_back(logits::encoder_repetition_penalty(*c.encoder_repetition_penalty));
  if (*c.repetition_penalty != 1) list.push_back(logits::repetition_penalty(*c.repetition_penalty));
  if (*c.no_repeat_ngram_size > 0) list.push_back(logits::no_repeat_ngram(*c.no_repeat_ngram_size));
  if (*c.encoder_no_repeat_ngram_size > 0)
    list.push_back(logits::encoder_no_repeat_ngram(*c.encoder_no_repeat_ngram_size));
  if (c.bad_words_ids && !c.bad_words_ids->empty()) list.push_back(logits::no_bad_words(*c.bad_words_ids, ends, vocab));
  if (!ends.empty() && *c.min_length > 0 && !c.min_new_tokens) list.push_back(logits::min_length(*c.min_length, ends));
  if (!ends.empty() && c.min_new_tokens && *c.min_new_tokens > 0)
    list.push_back(logits::min_new_tokens(*c.min_new_tokens, ends));
  if (c.forced_bos_token_id) list.push_back(logits::forced_bos_token(*c.forced_bos_token_id, vocab));
  if (!c.forced_eos_token_id.empty()) list.push_back(logits::forced_eos_token(c.forced_eos_token_id.values(), vocab));
  if (*c.remove_invalid_values) list.push_back(logits::remove_invalid_values());
  if (c.exponential_decay_length_penalty) {
    const LengthDecay& decay = *c.exponential_decay_length_penalty;
    list.push_back(logits::exponential_decay_length_penalty(decay.start, decay.factor, ends));
  }
  if (!c.suppress_tokens.empty()) list.push_back(logits::suppress_tokens(c.suppress_tokens.values()));
  if (!c.begin_suppress_tokens.empty()) {
    list.push_back(logits::begin_suppress_tokens(c.begin_suppress_tokens.values(), c.forced_bos_token_id.has_value()));
  }
  return list;
}

LogitsProcessors ProcessorLists::cuts(const GenerationConfig& c) {
  LogitsProcessors list;
  if (!*c.do_sample) return list;
  // A beam needs a token to go on with, whatever number of its candidates ends the text.
  const auto ends = static_cast<int64_t>(c.eos_token_id.values().size());
  const int64_t keep = *c.num_beams > 1 ? std::max<int64_t>(ends, 1) + 1 : 1;
  if (*c.temperature != 1) list.push_back(logits::temperature(*c.temperature));
  if (c.top_h) list.push_back(logits::top_h(*c.top_h));
  if (*c.top_k > 0) list.push_back(logits::top_k(*c.top_k, keep));
  if (*c.top_p < 1) list.push_back(logits::top_p(*c.top_p, keep));
  if (c.min_p) list.push_back(logits::min_p(*c.min_p, keep));
  if (*c.typical_p < 1) list.push_back(logits::typical_p(*c.typical_p, keep));
  if (*c.epsilon_cutoff > 0) list.push_back(logits::epsilon_cutoff(*c.epsilon_cutoff, keep));
  if (*c.eta_cutoff > 0) list.push_back(logits::eta_cutoff(*c.eta_cutoff, keep));
  return list;
}

LogitsProcessors ProcessorLists::last(const GenerationConfig& c) {
  LogitsProcessors list;
  if (*c.renormalize_logits) list.push_back(logits::renormalize());
  return list;
}

}  // namespace mica
