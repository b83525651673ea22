#include "mica/models/generation/choice.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/models/generation/draws.h"
#include "mica/models/generation/scores.h"

namespace mica {

void no_token_possible() {
  throw Error("no token is possible", "generate",
              "loosen the settings or the constraint: together they bar every token");
}

void infinite_scores() {
  throw Error("the model's scores are not all finite", "generate", "check the weights, or set remove_invalid_values");
}

std::span<const float> processed(const Decoding& decoding, const GenerationRow& row, std::span<const float> logits,
                                 RowScratch& scratch) {
  if (decoding.plain(row)) return logits;
  scratch.scores.assign(logits.begin(), logits.end());
  decoding.process(row, scratch.scores, scratch);
  return scratch.scores;
}

Choice choose(const Decoding& decoding, const GenerationRow& row, std::span<const float> logits, RowScratch& scratch) {
  Choice choice;
  choice.scores = processed(decoding, row, logits, scratch);
  const int64_t best = scores::best(choice.scores);
  if (best < 0) no_token_possible();
  if (*decoding.config().do_sample) {
    std::vector<float>& probabilities = scratch.processors.probabilities;
    probabilities.resize(choice.scores.size());
    scores::softmax(choice.scores, probabilities);
    choice.token =
        scores::draw(probabilities, uniform_draw(decoding.seed(), row.sample, Draw::token, row.new_tokens()));
  } else {
    choice.token = best;
  }
  rate(decoding, choice);
  return choice;
}

void rate(const Decoding& decoding, Choice& choice) {
  if (!decoding.wants_transitions()) return;
  choice.transition = choice.scores[static_cast<size_t>(choice.token)];
  choice.log_probability = static_cast<float>(static_cast<double>(choice.transition) - scores::log_sum(choice.scores));
}

void add_token(const Decoding& decoding, GenerationRow& text, int64_t row, const Choice& choice,
               std::optional<FinishReason> all_end) {
  text.ids.push_back(choice.token);
  if (decoding.wants_transitions()) {
    text.transitions.push_back(choice.transition);
    text.logs.push_back(choice.log_probability);
  }
  text.finish = decoding.stop().check(text.ids, text.max_length);
  if (text.constraint != nullptr) {
    text.constraint->advance(choice.token);
    if (!text.finish && text.constraint->finished()) text.finish = FinishReason::constraint;
  }
  if (!text.finish) text.finish = all_end;
  if (TokenStreamer* streamer = decoding.hooks().streamer; streamer != nullptr) {
    streamer->put(row, {&text.ids.back(), 1});
    if (text.finish) streamer->end(row);
  }
}

}  // namespace mica
