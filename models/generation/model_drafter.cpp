#include <algorithm>

#include "mica/base/error.h"
#include "mica/models/generation/choice.h"
#include "mica/models/generation/draft.h"
#include "mica/models/generation/draws.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

class ModelDrafter : public Drafter {
 public:
  ModelDrafter(const Decoding& decoding, GenerationSession& session)
      : decoding_(decoding),
        session_(session),
        adapts_(*decoding.config().num_assistant_tokens_schedule != "constant"),
        threshold_(*decoding.config().assistant_confidence_threshold),
        counts_(static_cast<size_t>(decoding.prompts()), *decoding.config().num_assistant_tokens) {
    if (session.vocab_size() != decoding.vocab()) {
      throw Error("the draft model has " + std::to_string(session.vocab_size()) + " tokens, the model " +
                      std::to_string(decoding.vocab()),
                  "generate", "take a draft model with the same vocabulary");
    }
  }

  void guess(std::span<GenerationRow* const> rows, std::span<const int64_t> limits, std::span<Draft> drafts) override {
    const size_t count = rows.size();
    feed_.resize(count);
    texts_.resize(count);
    wanted_.resize(count);
    scratch_.resize(count);
    for (Draft& draft : drafts) {
      draft.tokens.clear();
      draft.probabilities.clear();
    }
    int64_t open = 0;
    for (size_t i = 0; i < count; ++i) {
      texts_[i].assign(*rows[i]);
      const auto length = static_cast<int64_t>(rows[i]->ids.size());
      wanted_[i] = std::min({counts_[i], limits[i], session_.max_length() - length + 1});
      if (length > session_.max_length()) return;  // the batch has outgrown the draft model
      open += wanted_[i] > 0 ? 1 : 0;
    }
    if (open == 0) return;
    // What the draft model has not seen of the texts, and then its own tokens. All rows run as long as one wants more.
    for (size_t i = 0; i < count; ++i) {
      const int64_t held =
          session_.batch() == static_cast<int64_t>(count) ? session_.length(static_cast<int64_t>(i)) : 0;
      feed_[i].assign(texts_[i].ids.begin() + held, texts_[i].ids.end());
    }
    while (true) {
      const HostLogits logits = Decoding::append(session_, feed_);
      open = 0;
      bool room = true;
      for (size_t i = 0; i < count; ++i) {
        const int64_t token = go_on(texts_[i], logits.row(static_cast<int64_t>(i)), wanted_[i], drafts[i], scratch_[i]);
        texts_[i].ids.push_back(token);
        feed_[i].assign(1, token);
        open += static_cast<int64_t>(drafts[i].tokens.size()) < wanted_[i] ? 1 : 0;
        room = room && static_cast<int64_t>(texts_[i].ids.size()) <= session_.max_length();
      }
      if (open == 0 || !room) return;
    }
  }

  void learn(int64_t row, const GenerationRow& text, int64_t drafted, int64_t accepted) override {
    // The last token of the text was not guessed, or has not been run.
    const int64_t right = static_cast<int64_t>(text.ids.size()) - 1;
    if (row < session_.batch() && session_.length(row) > right) session_.truncate(row, right);
    int64_t& count = counts_[static_cast<size_t>(row)];
    if (adapts_ && drafted > 0) count = accepted == drafted ? count + 2 : std::max<int64_t>(1, count - 1);
  }

  void reorder(std::span<const int64_t> rows) override {
    std::vector<int64_t> counts;
    for (const int64_t row : rows) counts.push_back(counts_[static_cast<size_t>(row)]);
    counts_ = std::move(counts);
    if (session_.batch() > 0) session_.reorder(rows);
  }

 private:
  // The draft model's next token for a row; it joins the draft unless that is complete.
  int64_t go_on(const GenerationRow& text, std::span<const float> logits, int64_t& wanted, Draft& draft,
                RowScratch& scratch) const {
    if (static_cast<int64_t>(draft.tokens.size()) >= wanted) return text.ids.back();  // of no account
    const std::span<const float> scores = processed(decoding_, text, logits, scratch);
    int64_t token = scores::best(scores);
    if (token < 0) {  // every token barred: nothing to guess
      wanted = static_cast<int64_t>(draft.tokens.size());
      return text.ids.back();
    }
    std::vector<float>& p = scratch.processors.probabilities;
    p.resize(scores.size());
    scores::softmax(scores, p);
    if (*decoding_.config().do_sample) {
      token = scores::draw(p, uniform_draw(decoding_.seed(), text.sample, Draw::draft, text.new_tokens()));
      draft.probabilities.insert(draft.probabilities.end(), p.begin(), p.end());
    }
    draft.tokens.push_back(token);
    // A doubtful token is the last of its draft, but part of it: to leave it out would make likely ones likelier.
    const bool doubtful = static_cast<double>(p[static_cast<size_t>(token)]) < threshold_;
    if (doubtful || decoding_.stop().is_end_token(token)) wanted = static_cast<int64_t>(draft.tokens.size());
    return token;
  }

  const Decoding& decoding_;
  GenerationSession& session_;
  bool adapts_;
  double threshold_;
  std::vector<int64_t> counts_;  // tokens to guess, of each row
  std::vector<std::vector<int64_t>> feed_;
  std::vector<GenerationRow> texts_;
  std::vector<int64_t> wanted_;
  std::vector<RowScratch> scratch_;
};

}  // namespace

std::unique_ptr<Drafter> model_drafter(const Decoding& decoding, GenerationSession& draft) {
  return std::make_unique<ModelDrafter>(decoding, draft);
}

}  // namespace mica
