#include "mica/models/generation/model_session.h"

#include <algorithm>
#include <utility>

#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/recycled.h"
#include "mica/models/auto/virtual_inputs.h"
#include "mica/models/generation/draws.h"
#include "mica/models/modules/positions.h"

namespace mica {

ModelSession::ModelSession(Model model, const ModelInputs& inputs, int64_t batch, int64_t capacity,
                           const std::optional<CacheQuantization>& quantization)
    : model_(std::move(model)),
      virtual_(virtual_positions(model_)),
      texts_(static_cast<size_t>(batch)),
      prompts_(static_cast<size_t>(batch), 0),
      read_(static_cast<size_t>(batch), 0) {
  if (model_.task() != Task::causal_lm && model_.task() != Task::seq2seq_lm) {
    throw Error("generation with a model for " + std::string(name(model_.task())), "generate",
                "open it for causal_lm or seq2seq_lm");
  }
  const NoGrad no_grad;
  state_ = start_decoding(model_, inputs, batch, capacity, quantization);
  const bool decoder = !model_.network().shape().encoder_decoder;
  if (decoder && virtual_ == 0 && inputs.token_type_ids.defined()) {
    const Tensor& types = inputs.token_type_ids;
    if (types.rank() != 2 || types.size(0) != batch) {
      throw Error("token_type_ids of shape " + to_string(types.shape()), "generate", "need [batch, tokens]");
    }
    for (int64_t row = 0; row < batch; ++row) types_.push_back(types.select(0, row).to_vector<int64_t>());
  }
}

int64_t ModelSession::vocab_size() const {
  return model_.network().shape().vocab_size;
}

int64_t ModelSession::max_length() const {
  const NetworkShape& shape = model_.network().shape();
  const int64_t limit = shape.encoder_decoder ? shape.max_target_tokens : shape.max_tokens;
  return limit > 0 ? std::max<int64_t>(limit - virtual_, 0) : INT64_MAX;
}

// Of `count` tokens of a row from `first` on: those of the prompt, and behind it the last one again.
std::vector<int64_t> ModelSession::types_of(size_t row, int64_t first, int64_t count) const {
  std::vector<int64_t> result;
  const std::vector<int64_t>& given = types_[row];
  for (int64_t i = first; i < first + count; ++i) {
    result.push_back(given.empty() ? 0 : given[std::min(static_cast<size_t>(i), given.size() - 1)]);
  }
  return result;
}

void ModelSession::check_tokens(std::span<const std::vector<int64_t>> tokens) const {
  if (static_cast<int64_t>(tokens.size()) != batch()) {
    throw Error("tokens for " + std::to_string(tokens.size()) + " rows", "generate",
                "the session has " + std::to_string(batch()));
  }
  for (size_t row = 0; row < tokens.size(); ++row) {
    if (tokens[row].empty()) throw Error("no token for row " + std::to_string(row), "generate", "append at least one");
  }
}

Tensor ModelSession::run(std::span<const std::vector<int64_t>> tokens, Positions positions) {
  return (state_ != nullptr ? run_cached(tokens, positions) : run_whole(tokens, positions)).to(DType::float32);
}

// They have been read.
void ModelSession::note(std::span<const std::vector<int64_t>> tokens) {
  for (size_t row = 0; row < tokens.size(); ++row) {
    if (prompts_[row] == 0) prompts_[row] = static_cast<int64_t>(tokens[row].size());
    texts_[row].insert(texts_[row].end(), tokens[row].begin(), tokens[row].end());
    read_[row] = static_cast<int64_t>(texts_[row].size());
  }
}

Tensor ModelSession::append(std::span<const std::vector<int64_t>> tokens, Positions positions) {
  check_tokens(tokens);
  const NoGrad no_grad;
  const Tensor logits = run(tokens, positions);
  note(tokens);
  return logits.to(Device{});
}

void ModelSession::record_steps() {
  const bool plain = state_ != nullptr && state_->cross() == nullptr && types_.empty();
  if (plain && backend(model_.device()).records())
    steps_ = std::make_unique<RecordedSteps>(draw_place(0, Draw::token, 1).index);
}

std::vector<int64_t> ModelSession::append_and_choose(std::span<const std::vector<int64_t>> tokens,
                                                     const SamplingRule& rule, std::span<const RowDraw> texts) {
  check_tokens(tokens);
  const NoGrad no_grad;
  TextStep step;
  RecycledVector<int64_t> sources;
  bool own = texts.size() == tokens.size();  // each text has its own row
  for (size_t i = 0; i < texts.size(); ++i) {
    const DrawPlace at = draw_place(texts[i].sample, Draw::token, texts[i].step);
    step.streams.push_back(static_cast<int64_t>(at.stream));
    step.indices.push_back(static_cast<int64_t>(at.index));
    sources.push_back(texts[i].source);
    own = own && texts[i].source == static_cast<int64_t>(i);
  }
  bool single = own;
  for (size_t row = 0; row < tokens.size(); ++row) {
    single = single && tokens[row].size() == 1 && read_[row] == static_cast<int64_t>(texts_[row].size());
  }
  if (steps_ != nullptr && single) {
    for (size_t row = 0; row < tokens.size(); ++row) {
      step.tokens.push_back(tokens[row][0]);
      step.positions.push_back(virtual_ + read_[row]);
    }
    if (const auto chosen = steps_->run(model_, *state_, step, rule)) {
      note(tokens);
      return *chosen;
    }
  }
  const Device device = model_.device();
  Tensor logits = run(tokens, Positions::last);
  if (!own) logits = index_select(logits, index_tensor(sources).to(device));
  logits = logits.contiguous();
  const Tensor streams = Tensor::from(step.streams).to(device), indices = Tensor::from(step.indices).to(device);
  const Tensor chosen = Tensor::empty({static_cast<int64_t>(texts.size())}, DType::int64, device);
  backend(device).sampling().choose(logits.view(), rule, streams.view(), indices.view(), chosen.view());
  note(tokens);
  return chosen.to_vector<int64_t>();
}

// In as many calls as the cache needs for its bits not to depend on how a text is cut: one, unless it rounds.
Tensor ModelSession::run_cached(std::span<const std::vector<int64_t>> tokens, Positions positions) {
  RecycledVector<int64_t> left, done(tokens.size(), 0);
  for (size_t row = 0; row < tokens.size(); ++row) {
    left.push_back(length(static_cast<int64_t>(row)) + static_cast<int64_t>(tokens[row].size()) - read_[row]);
  }
  RecycledVector<Tensor> parts;
  RecycledVector<int64_t> places;  // of the parts' rows among those that are asked for
  try {
    while (std::any_of(left.begin(), left.end(), [](int64_t count) { return count > 0; })) {
      RecycledVector<int64_t> counts;
      for (size_t row = 0; row < tokens.size(); ++row) {
        counts.push_back(std::min(left[row], state_->cache().room(static_cast<int64_t>(row))));
      }
      if (Tensor part = run_part(tokens, positions, done, counts, &places); part.defined()) {
        parts.push_back(std::move(part));
      }
      for (size_t row = 0; row < tokens.size(); ++row) {
        done[row] += counts[row];
        left[row] -= counts[row];
      }
    }
  } catch (...) {
    if (std::any_of(done.begin(), done.end(), [](int64_t count) { return count > 0; })) forget();
    throw;
  }
  if (parts.size() == 1) return model_.head().logits(parts[0]);
  RecycledVector<int64_t> order(places.size());
  for (size_t i = 0; i < places.size(); ++i) order[static_cast<size_t>(places[i])] = static_cast<int64_t>(i);
  const Tensor hidden = cat({parts.begin(), parts.end()}, 0);
  return model_.head().logits(index_select(hidden, index_tensor(order).to(hidden.device())));
}

// What the first parts of a call that failed left in the state goes, where it may: what the texts had is read again.
void ModelSession::forget() {
  for (size_t row = 0; row < read_.size(); ++row) {
    const auto number = static_cast<int64_t>(row);
    if (state_->may_truncate(number, virtual_ + read_[row])) {
      state_->truncate(number, virtual_ + read_[row]);
    } else if (virtual_ == 0) {
      state_->truncate(number, 0);
      read_[row] = 0;
    }
  }
}

// Runs counts[row] tokens of each row behind the done[row] that were run already of those that the state lacks. The
// hidden states that are asked for, and their places among all of those; undefined where there are none.
Tensor ModelSession::run_part(std::span<const std::vector<int64_t>> tokens, Positions positions,
                              std::span<const int64_t> done, std::span<const int64_t> counts,
                              RecycledVector<int64_t>* places) {
  RecycledVector<int64_t> ids, types, position_ids, wanted;
  int64_t place = 0;
  for (size_t row = 0; row < tokens.size(); ++row) {
    // What the state forgot comes first; nobody waits for its logits.
    const std::vector<int64_t>& text = texts_[row];
    const auto known = static_cast<int64_t>(text.size()), added = static_cast<int64_t>(tokens[row].size());
    const int64_t first = read_[row] + done[row];
    for (int64_t i = first; i < first + counts[row]; ++i) {
      const bool last = i == known + added - 1;
      if (positions == Positions::last ? last : i >= known) {
        wanted.push_back(static_cast<int64_t>(ids.size()));
        places->push_back(place + (positions == Positions::last ? 0 : i - known));
      }
      ids.push_back(i < known ? text[static_cast<size_t>(i)] : tokens[row][static_cast<size_t>(i - known)]);
      position_ids.push_back(virtual_ + i);
    }
    place += positions == Positions::last ? 1 : added;
    if (types_.empty()) continue;
    const std::vector<int64_t> more = types_of(row, first, counts[row]);
    types.insert(types.end(), more.begin(), more.end());
  }
  Rows rows;
  rows.device = model_.device();
  rows.input_ids = index_tensor(ids);
  if (!types.empty()) rows.token_type_ids = index_tensor(types);
  // A decoder is told its positions, as the reference does: they count from zero in every family.
  if (!model_.network().shape().encoder_decoder) rows.position_ids = index_tensor(position_ids);
  rows.offsets = SequenceOffsets::from_lengths(counts, rows.device);
  rows.tokens_shape = {rows.rows()};
  const Tensor hidden = model_.network().decode(rows, state_.get());
  if (wanted.empty()) return {};
  return wanted.size() == ids.size() ? hidden : index_select(hidden, index_tensor(wanted).to(rows.device));
}

// A network that is told it is a decoder sees what came before each token; others see the prompt in both directions.
Tensor ModelSession::run_whole(std::span<const std::vector<int64_t>> tokens, Positions positions) const {
  std::vector<Tensor> results;
  for (size_t row = 0; row < tokens.size(); ++row) {
    std::vector<int64_t> text = texts_[row];
    text.insert(text.end(), tokens[row].begin(), tokens[row].end());
    const auto count = static_cast<int64_t>(text.size());
    const auto added = static_cast<int64_t>(tokens[row].size());
    ModelInputs inputs;
    inputs.input_ids = Tensor::from(text, {1, count});
    inputs.position_ids = Tensor::arange(count).reshape({1, count});
    if (!types_.empty()) inputs.token_type_ids = Tensor::from(types_of(row, 0, count), {1, count});
    if (!model_.network().shape().causal) inputs.prefix_length = prompts_[row] > 0 ? prompts_[row] : count;
    const Tensor logits = model_(inputs).logits.select(0, 0);
    results.push_back(logits.slice(0, positions == Positions::last ? count - 1 : count - added, count));
  }
  return cat(results, 0);
}

void ModelSession::reorder(std::span<const int64_t> rows) {
  if (state_ != nullptr) state_->reorder(rows);
  std::vector<std::vector<int64_t>> texts;
  std::vector<std::vector<int64_t>> types;
  std::vector<int64_t> prompts, read;
  for (const int64_t row : rows) {
    if (row < 0 || row >= batch()) throw Error("row " + std::to_string(row), "generate", "the session has no such row");
    texts.push_back(texts_[static_cast<size_t>(row)]);
    prompts.push_back(prompts_[static_cast<size_t>(row)]);
    read.push_back(read_[static_cast<size_t>(row)]);
    if (!types_.empty()) types.push_back(types_[static_cast<size_t>(row)]);
  }
  texts_ = std::move(texts);
  types_ = std::move(types);
  prompts_ = std::move(prompts);
  read_ = std::move(read);
}

void ModelSession::truncate(int64_t row, int64_t length) {
  if (row < 0 || row >= batch() || length < 0 || length > this->length(row)) {
    throw Error("row " + std::to_string(row) + " cut to " + std::to_string(length) + " tokens", "generate",
                "name a row of the session and no more tokens than it has");
  }
  int64_t& read = read_[static_cast<size_t>(row)];
  if (state_ != nullptr && length < read) {
    const bool may = state_->may_truncate(row, virtual_ + length);
    if (!may && virtual_ > 0) {
      throw Error("a text behind virtual tokens cut to " + std::to_string(length) + " tokens", "generate",
                  "this model's windows forget them: generate without an assistant");
    }
    const int64_t left = may ? length : 0;
    state_->truncate(row, virtual_ + left);
    read = left;
  }
  texts_[static_cast<size_t>(row)].resize(static_cast<size_t>(length));
}

}  // namespace mica
