#include "mica/models/generation/decoding.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/kernels/random.h"
#include "mica/models/generation/choice.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

constexpr int64_t kDefaultNewTokens = 20;
constexpr int64_t kReserved = 4096;  // new tokens of a row for which memory is set aside

GenerationConfig checked(const GenerationConfig& config) {
  config.validate();
  return config.resolved();
}

// Prompts with a start token where there is none.
std::vector<std::vector<int64_t>> with_start(std::vector<std::vector<int64_t>> prompts, const GenerationConfig& c) {
  if (prompts.empty()) throw Error("no prompts", "generate", "give at least one");
  const std::vector<int64_t>& starts = c.decoder_start_token_id.values();
  if (starts.size() > 1 && starts.size() != prompts.size()) {
    throw Error("decoder_start_token_id has " + std::to_string(starts.size()) + " tokens for " +
                    std::to_string(prompts.size()) + " prompts",
                "generate", "give one, or one for each prompt");
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].empty()) {
      if (!starts.empty()) {
        prompts[i].push_back(starts[starts.size() > 1 ? i : 0]);
      } else if (c.bos_token_id) {
        prompts[i].push_back(*c.bos_token_id);
      } else {
        throw Error("prompt " + std::to_string(i) + " has no tokens", "generate",
                    "give it some, or set decoder_start_token_id or bos_token_id");
      }
    }
    for (const int64_t id : prompts[i]) {
      if (id < 0)
        throw Error("prompt " + std::to_string(i) + " holds the id " + std::to_string(id), "generate",
                    "ids are 0 or more");
    }
  }
  return prompts;
}

// The length at which a row ends. The last token of a row is never run, so a row may be one longer than the model
// holds.
int64_t row_limit(const GenerationConfig& c, int64_t prompt, int64_t capacity) {
  if (prompt > capacity) {
    throw Error("a prompt of " + std::to_string(prompt) + " tokens", "generate",
                "the model holds " + std::to_string(capacity));
  }
  const int64_t most = capacity == INT64_MAX ? capacity : capacity + 1;
  int64_t limit = 0;
  if (c.max_new_tokens) {
    limit = *c.max_new_tokens > INT64_MAX - prompt ? INT64_MAX : prompt + *c.max_new_tokens;
  } else if (c.max_length) {
    limit = *c.max_length;
    if (limit <= prompt) {
      throw Error("max_length is " + std::to_string(limit) + ", and a prompt has " + std::to_string(prompt) + " tokens",
                  "generate", "raise it, or set max_new_tokens");
    }
  } else {
    return std::min(prompt + kDefaultNewTokens, most);
  }
  if (limit > most) {
    warn("generate: the model holds " + std::to_string(capacity) + " positions; texts end there");
    limit = most;
  }
  const int64_t least = c.min_new_tokens ? *c.min_new_tokens : *c.min_length - prompt;
  if (least > limit - prompt) {
    warn("generate: texts end at " + std::to_string(limit) + " tokens, before the least that the settings ask for");
  }
  return limit;
}

}  // namespace

void GenerationRow::assign(const GenerationRow& other) {
  prompt = other.prompt;
  sample = other.sample;
  ids = other.ids;
  prompt_length = other.prompt_length;
  max_length = other.max_length;
  finish = other.finish;
  transitions = other.transitions;
  logs = other.logs;
  origins = other.origins;
}

Decoding::Decoding(GenerationSession& session, const std::vector<std::vector<int64_t>>& prompts,
                   const GenerationConfig& config, const GenerationHooks& hooks)
    : session_(session),
      config_(checked(config)),
      hooks_(hooks),
      stop_(config_, hooks),
      prompts_(with_start(prompts, config_)),
      vocab_(session.vocab_size()),
      wants_transitions_(*config_.output_scores || *config_.output_transition_scores),
      rules_(ProcessorLists::rules(config_, vocab_)),
      cuts_(ProcessorLists::cuts(config_)),
      last_(ProcessorLists::last(config_)) {
  rules_.insert(rules_.end(), hooks.processors.begin(), hooks.processors.end());
  if (*config_.do_sample) {
    seed_ = config_.seed ? static_cast<uint64_t>(*config_.seed) : [] {
      const RandomStream next = next_random_stream();
      const auto words =
          philox({static_cast<uint32_t>(next.stream), static_cast<uint32_t>(next.stream >> 32), 0, 1}, next.seed);
      return uint64_t{words[0]} << 32 | words[1];
    }();
  }
  const size_t constraints = hooks.constraints.size();
  if (constraints > 1 && constraints != prompts_.size()) {
    throw Error(std::to_string(constraints) + " constraints for " + std::to_string(prompts_.size()) + " prompts",
                "generate", "give one, or one for each prompt");
  }
  if (hooks.encoder_ids != nullptr && hooks.encoder_ids->size() != prompts_.size()) {
    throw Error("encoder_ids of " + std::to_string(hooks.encoder_ids->size()) + " rows for " +
                    std::to_string(prompts_.size()) + " prompts",
                "generate", "give one for each prompt");
  }
}

GenerationRow Decoding::start(int64_t prompt, int64_t sample) const {
  const auto p = static_cast<size_t>(prompt);
  GenerationRow row;
  row.prompt = prompt;
  row.sample = sample;
  row.prompt_length = static_cast<int64_t>(prompts_[p].size());
  row.max_length = row_limit(config_, row.prompt_length, session_.max_length());
  const int64_t reserved = std::min(row.max_length, row.prompt_length + kReserved);
  row.ids.reserve(static_cast<size_t>(reserved));
  row.ids = prompts_[p];
  if (wants_transitions_) {
    row.transitions.reserve(static_cast<size_t>(reserved - row.prompt_length));
    row.logs.reserve(static_cast<size_t>(reserved - row.prompt_length));
  }
  if (*config_.num_beams > 1) row.origins.reserve(static_cast<size_t>(reserved - row.prompt_length));
  if (!hooks_.constraints.empty()) {
    const TokenConstraint* constraint = hooks_.constraints[hooks_.constraints.size() > 1 ? p : 0];
    if (constraint != nullptr) row.constraint = constraint->clone();
  }
  return row;
}

HostLogits Decoding::append(GenerationSession& session, std::span<const std::vector<int64_t>> tokens,
                            GenerationSession::Positions positions) {
  HostLogits logits;
  const Tensor result = session.append(tokens, positions);
  logits.vocab = session.vocab_size();
  size_t rows = tokens.size();
  if (positions == GenerationSession::Positions::all) {
    rows = 0;
    for (const std::vector<int64_t>& row : tokens) rows += row.size();
  }
  if (result.rank() != 2 || result.size(0) != static_cast<int64_t>(rows) || result.size(1) != logits.vocab ||
      result.dtype() != DType::float32) {
    throw Error("logits of another shape or dtype than [" + std::to_string(rows) + ", " + std::to_string(logits.vocab) +
                    "] float32",
                "generate", "mend the session's append()");
  }
  logits.tensor = result.to(Device{}).contiguous();
  logits.data = logits.tensor.data<float>();
  return logits;
}

std::vector<std::vector<int64_t>> Decoding::unread(const GenerationSession& session) const {
  if (session.batch() != prompts()) return prompts_;  // append() says what is wrong
  std::vector<std::vector<int64_t>> rest;
  for (int64_t i = 0; i < prompts(); ++i) {
    const std::vector<int64_t>& prompt = prompts_[static_cast<size_t>(i)];
    const int64_t held = session.length(i);
    if (held >= static_cast<int64_t>(prompt.size())) {
      throw Error(
          "the session holds " + std::to_string(held) + " tokens of a prompt of " + std::to_string(prompt.size()),
          "generate", "it may hold all but the last: truncate() it, or start another");
    }
    rest.emplace_back(prompt.begin() + held, prompt.end());
  }
  return rest;
}

HostLogits Decoding::prefill(GenerationSession& session) const {
  return append(session, unread(session));
}

std::optional<SamplingRule> Decoding::rule() const {
  const GenerationConfig& c = config_;
  const bool extras = !rules_.empty() || !last_.empty() || !hooks_.constraints.empty();
  if (extras || wants_transitions_ || *c.output_logits) return std::nullopt;
  SamplingRule rule;
  rule.sample = *c.do_sample;
  if (!rule.sample) return rule;
  if (c.top_h || *c.typical_p < 1 || *c.epsilon_cutoff > 0 || *c.eta_cutoff > 0) return std::nullopt;
  rule.seed = seed_;
  rule.temperature = static_cast<float>(*c.temperature);
  rule.top_k = std::max<int64_t>(*c.top_k, 0);
  rule.top_p = *c.top_p < 1 ? static_cast<float>(*c.top_p) : 1.0F;
  if (c.min_p) rule.min_p = static_cast<float>(*c.min_p);
  return rule;
}

bool Decoding::plain(const GenerationRow& row) const {
  return rules_.empty() && cuts_.empty() && last_.empty() && row.constraint == nullptr;
}

void Decoding::run(const LogitsProcessors& list, const RowText& text, std::span<float> scores,
                   RowScratch& scratch) const {
  for (const auto& processor : list) processor->process(text, scores, scratch.processors);
}

void Decoding::process(const GenerationRow& row, std::span<float> scores, RowScratch& scratch) const {
  const auto prompt = static_cast<size_t>(row.prompt);
  const std::vector<int64_t>& read = hooks_.encoder_ids != nullptr ? (*hooks_.encoder_ids)[prompt] : prompts_[prompt];
  const RowText text{row.ids, row.prompt_length, row.max_length, read};
  run(rules_, text, scores, scratch);
  if (row.constraint != nullptr) {
    scratch.mask.assign((scores.size() + 63) / 64, ~uint64_t{0});
    row.constraint->mask(scratch.mask);
    for (size_t word = 0; word < scratch.mask.size(); ++word) {
      for (uint64_t barred = ~scratch.mask[word]; barred != 0; barred &= barred - 1) {
        const size_t token = 64 * word + static_cast<size_t>(std::countr_zero(barred));
        if (token < scores.size()) scores[token] = scores::kBarred;
      }
    }
  }
  if (cuts_.empty() && last_.empty()) return;
  // What follows needs an order among scores and a sum of their exponentials.
  const int64_t best = scores::best(scores);
  if (best < 0) return;
  if (std::isinf(scores[static_cast<size_t>(best)])) infinite_scores();
  run(cuts_, text, scores, scratch);
  run(last_, text, scores, scratch);
}

namespace {

// The row of a step's tensor; steps are made as they are asked for.
void keep(std::vector<Tensor>& steps, int64_t step, int64_t row, int64_t rows, std::span<const float> values) {
  const auto vocab = static_cast<int64_t>(values.size());
  while (static_cast<int64_t>(steps.size()) <= step) steps.push_back(Tensor::zeros({rows, vocab}));
  std::copy(values.begin(), values.end(), steps[static_cast<size_t>(step)].data<float>() + row * vocab);
}

}  // namespace

void Decoding::keep_scores(int64_t step, int64_t row, int64_t rows, std::span<const float> scores) {
  if (*config_.output_scores) keep(output_.scores, step, row, rows, scores);
}

void Decoding::keep_logits(int64_t step, int64_t row, int64_t rows, std::span<const float> logits) {
  if (*config_.output_logits) keep(output_.logits, step, row, rows, logits);
}

GenerationOutput Decoding::finish(std::vector<GenerationRow>& rows) {
  GenerationOutput output = std::move(output_);
  const std::vector<int64_t>& ends = config_.eos_token_id.values();
  const int64_t padding = config_.pad_token_id.value_or(ends.empty() ? 0 : ends[0]);
  const auto n = static_cast<int64_t>(rows.size());
  int64_t longest = 0;
  for (const GenerationRow& row : rows) {
    longest = std::max(longest, row.new_tokens());
    output.prompt_length = std::max(output.prompt_length, row.prompt_length);
  }
  const int64_t width = output.prompt_length + longest;
  std::vector<int64_t> sequences(static_cast<size_t>(n * width), padding);
  std::vector<int64_t> origins(static_cast<size_t>(n * longest), -1);
  std::vector<float> transitions(static_cast<size_t>(n * longest)), logs(static_cast<size_t>(n * longest));
  for (int64_t i = 0; i < n; ++i) {
    const GenerationRow& row = rows[static_cast<size_t>(i)];
    std::copy(row.ids.begin(), row.ids.end(), sequences.begin() + i * width + output.prompt_length - row.prompt_length);
    std::copy(row.origins.begin(), row.origins.end(), origins.begin() + i * longest);
    std::copy(row.transitions.begin(), row.transitions.end(), transitions.begin() + i * longest);
    std::copy(row.logs.begin(), row.logs.end(), logs.begin() + i * longest);
    output.tokens.emplace_back(row.ids.begin() + row.prompt_length, row.ids.end());
    output.finish.push_back(row.finish.value_or(FinishReason::length));
  }
  output.sequences = Tensor::from(sequences, {n, width});
  if (*config_.num_beams > 1) output.beam_indices = Tensor::from(origins, {n, longest});
  if (wants_transitions_) {
    output.transition_scores = Tensor::from(transitions, {n, longest});
    output.log_probabilities = Tensor::from(logs, {n, longest});
  }
  return output;
}

}  // namespace mica
