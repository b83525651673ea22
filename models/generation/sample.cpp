// Greedy search and sampling: one token a step for each row; rows that end leave the batch.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/models/generation/choice.h"
#include "mica/models/generation/decoding.h"

namespace mica {

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
  std::vector<RowScratch> scratch(static_cast<size_t>(rows));
  std::vector<Choice> choices(static_cast<size_t>(rows));
  std::vector<std::vector<int64_t>> next(static_cast<size_t>(rows), std::vector<int64_t>(1));

  HostLogits logits = decoding.prefill(session);
  for (int64_t step = 0;; ++step) {
    const auto count = static_cast<int64_t>(active.size());
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto at = static_cast<size_t>(i);
        choices[at] = choose(decoding, texts[static_cast<size_t>(active[at])], logits.row(sources[at]), scratch[at]);
      }
    });
    const std::optional<FinishReason> all_end = decoding.stop().check_all();
    size_t kept = 0;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const int64_t row = active[i];
      GenerationRow& text = texts[static_cast<size_t>(row)];
      decoding.keep_logits(step, row, rows, logits.row(sources[i]));
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
    logits = Decoding::append(session, next);
    for (size_t i = 0; i < kept; ++i) sources[i] = static_cast<int64_t>(i);
  }
  return decoding.finish(texts);
}

}  // namespace mica
