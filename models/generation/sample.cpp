// Greedy search and sampling: one token a step for each row; rows that end leave the batch.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/models/generation/choice.h"
#include "mica/models/generation/decoding.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

// What the session chose, or the error that the host's own choice would be.
int64_t checked_token(int64_t chosen) {
  switch (static_cast<NoToken>(chosen)) {
    case NoToken::all_barred:
      no_token_possible();
    case NoToken::undefined:
      scores::undefined_scores();
    case NoToken::infinite:
      infinite_scores();
  }
  return chosen;
}

// The next tokens of the active texts: chosen here from logits, or by the session, and then only they come back.
class Chooser {
 public:
  Chooser(Decoding& decoding, std::vector<GenerationRow>& texts)
      : decoding_(decoding), texts_(texts), scratch_(texts.size()), choices_(texts.size()) {
    if (decoding.session().chooses()) rule_ = decoding.rule();
  }

  // Reads tokens. Row sources[i] of the result is for text active[i].
  void read(std::span<const std::vector<int64_t>> tokens, std::span<const int64_t> active,
            std::span<const int64_t> sources) {
    if (!rule_) {
      logits_ = Decoding::append(decoding_.session(), tokens);
      return;
    }
    draws_.clear();
    for (size_t i = 0; i < active.size(); ++i) {
      const GenerationRow& text = texts_[static_cast<size_t>(active[i])];
      draws_.push_back({sources[i], text.sample, text.new_tokens()});
    }
    chosen_ = decoding_.session().append_and_choose(tokens, *rule_, draws_);
  }

  std::span<const Choice> choose(std::span<const int64_t> active, std::span<const int64_t> sources) {
    const auto count = static_cast<int64_t>(active.size());
    for (size_t i = 0; rule_ && i < active.size(); ++i) choices_[i].token = checked_token(chosen_[i]);
    if (rule_) return {choices_.data(), active.size()};
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto at = static_cast<size_t>(i);
        choices_[at] =
            mica::choose(decoding_, texts_[static_cast<size_t>(active[at])], logits_.row(sources[at]), scratch_[at]);
      }
    });
    return {choices_.data(), active.size()};
  }

  // Of the last read, for results; empty where the session chose.
  std::span<const float> logits(int64_t source) const { return rule_ ? std::span<const float>() : logits_.row(source); }

 private:
  Decoding& decoding_;
  std::vector<GenerationRow>& texts_;
  std::vector<RowScratch> scratch_;
  std::vector<Choice> choices_;
  std::optional<SamplingRule> rule_;  // none: tokens are chosen here
  HostLogits logits_;
  std::vector<RowDraw> draws_;
  std::vector<int64_t> chosen_;
};

}  // namespace

GenerationOutput sample_texts(Decoding& decoding) {
  GenerationSession& session = decoding.session();
  const int64_t samples = *decoding.config().num_return_sequences;
  const int64_t rows = decoding.prompts() * samples;
  std::vector<GenerationRow> texts;
  std::vector<int64_t> active, sources;  // the text of each row of the session, and the row of the logits for it
  for (int64_t row = 0; row < rows; ++row) {
    texts.push_back(decoding.start(row / samples, row % samples));
    active.push_back(row);
    sources.push_back(row / samples);
  }
  Chooser chooser(decoding, texts);
  std::vector<std::vector<int64_t>> next(static_cast<size_t>(rows), std::vector<int64_t>(1));

  chooser.read(decoding.unread(session), active, sources);
  for (int64_t step = 0;; ++step) {
    const auto count = static_cast<int64_t>(active.size());
    const std::span<const Choice> choices = chooser.choose(active, sources);
    const std::optional<FinishReason> all_end = decoding.stop().check_all();
    size_t kept = 0;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const int64_t row = active[i];
      GenerationRow& text = texts[static_cast<size_t>(row)];
      decoding.keep_logits(step, row, rows, chooser.logits(sources[i]));
      decoding.keep_scores(step, row, rows, choices[i].scores);
      add_token(decoding, text, row, choices[i], all_end);
      if (text.finish) continue;
      // Rows that go on move up.
      next[kept][0] = choices[i].token;
      sources[kept] = step == 0 ? sources[i] : static_cast<int64_t>(i);
      active[kept++] = row;
    }
    active.resize(kept);
    sources.resize(kept);
    next.resize(kept);
    if (kept == 0) break;
    if (kept != static_cast<size_t>(count) || (step == 0 && samples > 1)) session.reorder(sources);
    for (size_t i = 0; i < kept; ++i) sources[i] = static_cast<int64_t>(i);
    chooser.read(next, active, sources);
  }
  return decoding.finish(texts);
}

}  // namespace mica
