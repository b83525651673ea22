// Assisted decoding: drafts of some tokens, which the model checks in one run.
//
// A token c that was drawn from the draft's distribution q stands with probability min(1, p(c) / q(c)), p the model's
// own; the first that falls is replaced by a draw from max(p - q, 0), normalised. So texts are distributed as if drawn
// from p alone (Leviathan et al. 2023, Chen et al. 2023). A token that was not drawn (greedy drafts, and what was
// looked up) stands if it is what the model chooses itself, so those texts are the very same as without drafts.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/models/generation/choice.h"
#include "mica/models/generation/draft.h"
#include "mica/models/generation/draws.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

// Token number j of the draft, checked: the token that the text gets, the draft's or another.
Choice check(const Decoding& decoding, const GenerationRow& text, std::span<const float> logits, const Draft& draft,
             size_t j, RowScratch& scratch) {
  if (j >= draft.tokens.size() || draft.probabilities.empty()) return choose(decoding, text, logits, scratch);
  Choice choice;
  choice.scores = processed(decoding, text, logits, scratch);
  if (scores::best(choice.scores) < 0) {
    throw Error("no token is possible", "generate",
                "loosen the settings or the constraint: together they bar every token");
  }
  std::vector<float>& p = scratch.processors.probabilities;
  p.resize(choice.scores.size());
  scores::softmax(choice.scores, p);
  const std::span<const float> q = std::span(draft.probabilities).subspan(j * p.size(), p.size());
  choice.token = draft.tokens[j];
  const auto c = static_cast<size_t>(choice.token);
  const int64_t step = text.new_tokens();
  const double u = uniform_draw(decoding.seed(), text.sample, Draw::acceptance, step);
  if (u * static_cast<double>(q[c]) >= static_cast<double>(p[c])) {
    bool any = false;
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] = std::max(p[i] - q[i], 0.0F);
      any = any || p[i] > 0;
    }
    if (!any) scores::softmax(choice.scores, p);  // p and q are one but for rounding
    choice.token = scores::draw(p, uniform_draw(decoding.seed(), text.sample, Draw::token, step));
  }
  rate(decoding, choice);
  return choice;
}

}  // namespace

GenerationOutput assisted_decoding(Decoding& decoding) {
  if (*decoding.config().num_return_sequences > 1) {
    throw Error("several texts of one prompt by assisted decoding", "generate",
                "set num_return_sequences to 1, or leave the drafts out");
  }
  GenerationSession& session = decoding.session();
  const std::unique_ptr<Drafter> drafter =
      decoding.hooks().draft != nullptr ? model_drafter(decoding, *decoding.hooks().draft) : lookup_drafter(decoding);
  const int64_t rows = decoding.prompts();
  std::vector<GenerationRow> texts;
  std::vector<int64_t> active, limits, kept;
  std::vector<GenerationRow*> running;
  for (int64_t row = 0; row < rows; ++row) {
    texts.push_back(decoding.start(row, 0));
    active.push_back(row);
  }
  std::vector<RowScratch> scratch(texts.size());
  std::vector<Draft> drafts(texts.size());
  std::vector<std::vector<int64_t>> feed(texts.size());

  HostLogits logits = decoding.prefill(session);
  while (true) {
    // The rows of the logits are those of the session's rows, as many for each as it was fed after the prompt.
    const std::optional<FinishReason> all_end = decoding.stop().check_all();
    int64_t logits_row = 0;
    kept.clear();
    for (size_t i = 0; i < active.size(); ++i) {
      const int64_t row = active[i];
      GenerationRow& text = texts[static_cast<size_t>(row)];
      const auto drafted = static_cast<int64_t>(drafts[i].tokens.size());
      int64_t accepted = 0;
      for (int64_t j = 0; j <= drafted && !text.finish; ++j) {
        const std::span<const float> own = logits.row(logits_row + j);
        const Choice choice = check(decoding, text, own, drafts[i], static_cast<size_t>(j), scratch[i]);
        decoding.keep_logits(text.new_tokens(), row, rows, own);
        decoding.keep_scores(text.new_tokens(), row, rows, choice.scores);
        add_token(decoding, text, row, choice, all_end);
        if (j == drafted || choice.token != drafts[i].tokens[static_cast<size_t>(j)]) break;
        ++accepted;
      }
      logits_row += drafted + 1;
      const auto at = static_cast<int64_t>(i);
      const int64_t right = static_cast<int64_t>(text.ids.size()) - 1;
      if (session.length(at) > right) session.truncate(at, right);
      drafter->learn(at, text, drafted, accepted);
      if (!text.finish) kept.push_back(at);
    }
    if (kept.empty()) return decoding.finish(texts);
    if (kept.size() < active.size()) {
      session.reorder(kept);
      drafter->reorder(kept);
      for (size_t i = 0; i < kept.size(); ++i) active[i] = active[static_cast<size_t>(kept[i])];
      active.resize(kept.size());
    }

    running.clear();
    limits.clear();
    for (const int64_t row : active) {
      GenerationRow& text = texts[static_cast<size_t>(row)];
      const auto length = static_cast<int64_t>(text.ids.size());
      running.push_back(&text);
      limits.push_back(std::max<int64_t>(0, std::min(text.max_length - 1, session.max_length()) - length));
    }
    drafts.resize(active.size());
    feed.resize(active.size());
    drafter->guess(running, limits, drafts);
    for (size_t i = 0; i < active.size(); ++i) {
      feed[i].assign(1, running[i]->ids.back());
      feed[i].insert(feed[i].end(), drafts[i].tokens.begin(), drafts[i].tokens.end());
    }
    logits = Decoding::append(session, feed, GenerationSession::Positions::all);
  }
}

}  // namespace mica
