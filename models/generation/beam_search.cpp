// Beam search and beam sampling: all prompts' beams run as one batch; a prompt whose search is over leaves it.

#include <algorithm>
#include <memory>

#include "mica/base/parallel.h"
#include "mica/models/generation/beam_item.h"
#include "mica/models/generation/scores.h"

namespace mica {

GenerationOutput beam_search(Decoding& decoding) {
  GenerationSession& session = decoding.session();
  const int64_t beams = *decoding.config().num_beams;
  const int64_t vocab = decoding.vocab();
  const int64_t all_rows = decoding.prompts() * beams;
  std::vector<std::unique_ptr<BeamItem>> items;
  std::vector<BeamItem*> open;
  for (int64_t prompt = 0; prompt < decoding.prompts(); ++prompt) {
    items.push_back(std::make_unique<BeamItem>(decoding, prompt));
    open.push_back(items.back().get());
  }
  std::vector<RowScratch> scratch(static_cast<size_t>(all_rows));
  std::vector<float> scores(static_cast<size_t>(all_rows * vocab));
  std::vector<std::vector<int64_t>> next;
  std::vector<int64_t> sources;

  HostLogits logits = decoding.prefill(session);
  for (int64_t step = 0;; ++step) {
    const auto rows = static_cast<int64_t>(open.size()) * beams;
    // At first all beams of a prompt look at its one row of logits.
    const auto source = [&](int64_t row) { return step == 0 ? row / beams : row; };
    const auto scores_of = [&](int64_t row, int64_t count) {
      return std::span<float>(scores).subspan(static_cast<size_t>(row * vocab), static_cast<size_t>(count * vocab));
    };
    parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const GenerationRow& text =
            open[static_cast<size_t>(row / beams)]->running()[static_cast<size_t>(row % beams)].text;
        const std::span<float> own = scores_of(row, 1);
        scores::log_softmax(logits.row(source(row)), own);
        decoding.process(text, own, scratch[static_cast<size_t>(row)]);
      }
    });
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t shown = open[static_cast<size_t>(row / beams)]->prompt() * beams + row % beams;
      decoding.keep_logits(step, shown, all_rows, logits.row(source(row)));
      decoding.keep_scores(step, shown, all_rows, scores_of(row, 1));
    }
    const std::optional<FinishReason> all_end = decoding.stop().check_all();
    parallel_for(static_cast<int64_t>(open.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) open[static_cast<size_t>(i)]->advance(scores_of(i * beams, beams), all_end);
    });

    sources.clear();
    size_t kept = 0;
    for (size_t i = 0; i < open.size(); ++i) {
      BeamItem* item = open[i];
      if (!item->open()) continue;
      for (int64_t beam = 0; beam < beams; ++beam) {
        const auto at = static_cast<size_t>(beam);
        sources.push_back(source(static_cast<int64_t>(i) * beams + item->parents()[at]));
        if (next.size() < sources.size()) next.emplace_back(1);
        next[sources.size() - 1][0] = item->running()[at].text.ids.back();
      }
      open[kept++] = item;
    }
    open.resize(kept);
    if (open.empty()) break;
    next.resize(sources.size());
    session.reorder(sources);
    logits = Decoding::append(session, next);
  }

  std::vector<GenerationRow> texts;
  std::vector<float> ranks;
  for (const auto& item : items) {
    for (int64_t i = 0; i < *decoding.config().num_return_sequences; ++i) {
      const Beam& beam = item->finished()[static_cast<size_t>(i)];
      texts.emplace_back().assign(beam.text);
      ranks.push_back(beam.score);
    }
  }
  GenerationOutput output = decoding.finish(texts);
  output.sequences_scores = Tensor::from(ranks);
  return output;
}

}  // namespace mica
