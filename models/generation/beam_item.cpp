#include "mica/models/generation/beam_item.h"

#include <algorithm>
#include <cmath>

#include "mica/base/error.h"
#include "mica/models/generation/draws.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

// The score of what isn't there, and the handicap of what may not be taken: transformers' number, so that sums round
// alike.
constexpr float kNever = -1e9F;

}  // namespace

BeamItem::BeamItem(const Decoding& decoding, int64_t prompt)
    : decoding_(decoding), prompt_(prompt), beams_(*decoding.config().num_beams) {
  // However many candidates end the text, num_beams are left to go on.
  const auto ends = static_cast<int64_t>(decoding.config().eos_token_id.values().size());
  candidates_wanted_ = std::max<int64_t>(2, 1 + ends) * beams_;
  for (int64_t beam = 0; beam < beams_; ++beam) {
    // All beams are the prompt at first; one of them counts.
    running_.push_back({decoding.start(prompt, 0), beam == 0 ? 0.0F : kNever, false});
    next_.push_back({decoding.start(prompt, 0), 0, false});
    finished_.push_back({decoding.start(prompt, 0), kNever, false});
  }
  parents_.resize(static_cast<size_t>(beams_));
  log_sums_.resize(static_cast<size_t>(beams_));
  sums_.resize(static_cast<size_t>(beams_ * decoding.vocab()));
}

float BeamItem::ranked(float score, int64_t new_tokens) const {
  return score / static_cast<float>(std::pow(static_cast<double>(new_tokens), *decoding_.config().length_penalty));
}

void BeamItem::advance(std::span<const float> scores, std::optional<FinishReason> all_end) {
  const auto vocab = static_cast<size_t>(decoding_.vocab());
  for (size_t beam = 0; beam < static_cast<size_t>(beams_); ++beam) {
    const std::span<const float> row = scores.subspan(beam * vocab, vocab);
    if (decoding_.wants_transitions()) log_sums_[beam] = static_cast<float>(scores::log_sum(row));
    for (size_t i = 0; i < vocab; ++i) sums_[beam * vocab + i] = row[i] + running_[beam].score;
  }
  const int64_t best = scores::best(sums_);
  if (best < 0) {
    throw Error("no token is possible", "generate",
                "loosen the settings or the constraint: together they bar every token");
  }
  if (std::isinf(sums_[static_cast<size_t>(best)])) {
    throw Error("the model's scores are not all finite", "generate", "check the weights, or set remove_invalid_values");
  }
  pick();
  judge(all_end);
  keep_finished(scores);
  go_on(scores);
  ++step_;
  const bool full = std::all_of(finished_.begin(), finished_.end(), [](const Beam& beam) { return beam.done; });
  const bool all_hit =
      std::all_of(candidates_.begin(), candidates_.end(), [](const Candidate& c) { return c.finish.has_value(); });
  open_ = better_ones_possible() && !(full && *decoding_.config().early_stopping == EarlyStopping::yes) && !all_hit;
}

// The best continuations of all beams together, or ones drawn without putting back; the best first.
void BeamItem::pick() {
  if (*decoding_.config().do_sample) {
    pick_by_chance();
  } else {
    scores::largest(sums_, candidates_wanted_, order_);
  }
  candidates_.clear();
  for (const int64_t index : order_) {
    candidates_.push_back(
        {index / decoding_.vocab(), index % decoding_.vocab(), sums_[static_cast<size_t>(index)], {}, {}});
  }
}

// Each draw is by softmax(scores) among those not yet drawn: a draw of one that was is thrown away, and after some in
// vain the weights of what was drawn are set to zero.
void BeamItem::pick_by_chance() {
  constexpr int64_t kTries = 8;
  std::vector<float>& p = probabilities_;
  p.resize(sums_.size());
  scores::softmax(sums_, p);
  const auto possible = std::count_if(p.begin(), p.end(), [](float x) { return x > 0; });
  const int64_t wanted = std::min<int64_t>(candidates_wanted_, possible);
  order_.clear();
  int64_t draws = 0, tries = 0;
  bool zeroed = false;
  while (static_cast<int64_t>(order_.size()) < wanted) {
    const int64_t drawn = scores::draw(p, uniform_draw(decoding_.seed(), 0, Draw::token, step_, draws++));
    if (std::find(order_.begin(), order_.end(), drawn) == order_.end()) {
      order_.push_back(drawn);
      if (zeroed) p[static_cast<size_t>(drawn)] = 0;
    } else if (++tries == kTries) {
      zeroed = true;
      for (const int64_t index : order_) p[static_cast<size_t>(index)] = 0;
    }
  }
  const auto before = [&](int64_t a, int64_t b) {
    const float x = sums_[static_cast<size_t>(a)], y = sums_[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::sort(order_.begin(), order_.end(), before);
  // Fewer possible tokens than candidates: the impossible ones behind them, as kNever marks them.
  if (wanted < candidates_wanted_) {
    std::vector<int64_t> all;
    scores::largest(sums_, candidates_wanted_ + wanted, all);
    for (const int64_t index : all) {
      if (static_cast<int64_t>(order_.size()) == candidates_wanted_) break;
      if (std::find(order_.begin(), order_.end(), index) == order_.end()) order_.push_back(index);
    }
  }
}

// Which candidates end their text.
void BeamItem::judge(std::optional<FinishReason> all_end) {
  for (Candidate& candidate : candidates_) {
    GenerationRow& parent = running_[static_cast<size_t>(candidate.beam)].text;
    parent.ids.push_back(candidate.token);
    candidate.finish = decoding_.stop().check(parent.ids, parent.max_length);
    parent.ids.pop_back();
    if (parent.constraint != nullptr && !std::isinf(candidate.score)) {
      candidate.constraint = parent.constraint->clone();
      candidate.constraint->advance(candidate.token);
      if (!candidate.finish && candidate.constraint->finished()) candidate.finish = FinishReason::constraint;
    }
    if (!candidate.finish) candidate.finish = all_end;
  }
}

// beam = the candidate's text.
void BeamItem::extend(Beam& beam, const Candidate& candidate, std::span<const float> scores) const {
  const Beam& parent = running_[static_cast<size_t>(candidate.beam)];
  beam.text.assign(parent.text);
  beam.text.ids.push_back(candidate.token);
  beam.text.origins.push_back(prompt_ * beams_ + candidate.beam);
  beam.text.finish = candidate.finish;
  if (decoding_.wants_transitions()) {
    const auto at = static_cast<size_t>(candidate.beam * decoding_.vocab() + candidate.token);
    beam.text.transitions.push_back(scores[at]);
    beam.text.logs.push_back(scores[at] - log_sums_[static_cast<size_t>(candidate.beam)]);
  }
}

// Finished candidates among the num_beams best take the place of worse finished texts.
void BeamItem::keep_finished(std::span<const float> scores) {
  for (size_t i = 0; i < std::min(candidates_.size(), static_cast<size_t>(beams_)); ++i) {
    if (!candidates_[i].finish) continue;
    const float score = ranked(candidates_[i].score, step_ + 1);
    const auto worse = [score](const Beam& beam) { return beam.score < score; };
    const auto place = std::find_if(finished_.begin(), finished_.end(), worse);
    if (place == finished_.end()) continue;
    std::rotate(place, finished_.end() - 1, finished_.end());
    extend(*place, candidates_[i], scores);
    place->score = score;
    place->done = true;
  }
}

// The best candidates that go on; finished ones only where there are no others.
void BeamItem::go_on(std::span<const float> scores) {
  const auto handicapped = [this](int64_t i) {
    const Candidate& candidate = candidates_[static_cast<size_t>(i)];
    return candidate.score + (candidate.finish ? kNever : 0.0F);
  };
  order_.resize(candidates_.size());
  for (size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<int64_t>(i);
  std::sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) {
    const float x = handicapped(a), y = handicapped(b);
    return x > y || (x == y && a < b);
  });
  for (size_t i = 0; i < next_.size(); ++i) {
    // A vocabulary of fewer tokens than beams: the last candidate stands for those that there aren't.
    const int64_t chosen = order_[std::min(i, order_.size() - 1)];
    Candidate& candidate = candidates_[static_cast<size_t>(chosen)];
    extend(next_[i], candidate, scores);
    next_[i].score = i < order_.size() ? handicapped(chosen) : kNever;
    next_[i].text.finish.reset();
    next_[i].text.constraint = i < order_.size() ? std::move(candidate.constraint) : nullptr;
    parents_[i] = candidate.beam;
  }
  std::swap(running_, next_);
}

// Whether the best running beam may still beat a finished text, were its tokens to come for free.
bool BeamItem::better_ones_possible() const {
  const GenerationConfig& config = decoding_.config();
  const GenerationRow& first = running_.front().text;
  const bool longest = *config.early_stopping == EarlyStopping::never && *config.length_penalty > 0;
  const float possible =
      ranked(running_.front().score, longest ? first.max_length - first.prompt_length : first.new_tokens());
  return possible > finished_.back().score;  // kNever as long as a place is free
}

}  // namespace mica
