#include "mica/models/generation/recorded_steps.h"

#include <algorithm>

#include "mica/autograd/tape.h"
#include "mica/kernels/elementwise.h"

namespace mica {
namespace {

constexpr int64_t kFewestKeys = 256;  // of a recording

enum Word : size_t { kTokens, kPositions, kIndices, kStreams, kRows };

Tensor part_of(const Tensor& all, size_t part, int64_t count) {
  const auto at = static_cast<int64_t>(part) * count;
  return all.slice(0, at, at + count);
}

template <typename T>
void put(const std::vector<T>& values, const Tensor& to) {
  backend(to.device()).memory().copy_from_host(to.raw_data(), values.data(), to.numel() * item_size(to.dtype()));
}

void add_to(const Tensor& x, const Tensor& y) {
  backend(x.device()).elementwise().binary(BinaryOp::add, x.view(), y.view(), x.view());
}

}  // namespace

Tensor RecordedSteps::words(size_t part) const {
  return part_of(words_, part, count_);
}

Tensor RecordedSteps::numbers(size_t part) const {
  return part_of(numbers_, part, count_);
}

void RecordedSteps::forget() {
  recordings_.clear();
  count_ = 0;
}

// Device memory for a batch of so many texts. False where the network's steps cannot be recorded.
bool RecordedSteps::prepare(const Model& model, DecodingState& state, int64_t count, int64_t positions) {
  const Device device = model.device();
  if (positions > positions_) {
    int64_t most = 0;
    for (size_t g = 0; g < state.cache().groups(); ++g) most = std::max(most, state.cache().capacity(g));
    if (most < positions) most = 2 * positions;  // windows, of texts that go on
    if (!model.network().prepare_steps(&state, most, device)) return false;
    positions_ = most;
  }
  const size_t groups = state.cache().groups();
  const auto parts = [count](std::initializer_list<int64_t> first, std::initializer_list<int64_t> of_group, size_t n) {
    std::vector<int64_t> steps(first);
    for (size_t g = 0; g < n; ++g) steps.insert(steps.end(), of_group);
    std::vector<int64_t> result;
    for (const int64_t each : steps) result.insert(result.end(), static_cast<size_t>(count), each);
    return result;
  };
  const std::vector<int64_t> word_steps = parts({0, 1, index_step_, 0}, {1}, groups);
  const std::vector<int64_t> number_steps = parts({}, {0, 1}, groups);
  word_steps_ = Tensor::from(word_steps).to(device);
  number_steps_ = Tensor::from(std::vector<int32_t>(number_steps.begin(), number_steps.end())).to(device);
  words_ = Tensor::empty(word_steps_.shape(), DType::int64, device);
  numbers_ = Tensor::empty(number_steps_.shape(), DType::int32, device);
  known_words_.clear();
  known_numbers_.clear();
  count_ = count;
  rows_ = {};
  rows_.device = device;
  rows_.input_ids = words(kTokens);
  if (!model.network().shape().encoder_decoder) rows_.position_ids = words(kPositions);
  rows_.offsets = SequenceOffsets::uniform(count, 1, device);
  rows_.tokens_shape = {count};
  return true;
}

// What a step of texts with up to so many keys does.
std::unique_ptr<Recording> RecordedSteps::record(const Model& model, DecodingState& state, int64_t keys) {
  KeyValueCache& cache = state.cache();
  cache_.clear();
  for (size_t g = 0; g < cache.groups(); ++g) {
    std::vector<int64_t> starts;
    for (int64_t row = 0; row < count_; ++row) starts.push_back(cache.place(g, row).start);
    const std::vector<int64_t> most(starts.size(), std::min(keys, cache.capacity(g)));
    cache_.push_back({words(kRows + g), SequenceOffsets::on_device(starts, most, numbers(2 * g), numbers(2 * g + 1))});
  }
  cache.record(cache_);
  try {
    return backend(model.device()).record([&] {
      const Tensor hidden = model.network().decode(rows_, &state);
      const Tensor logits = model.head().logits(hidden).to(DType::float32).contiguous();
      backend(model.device())
          .sampling()
          .choose(logits.view(), rule_, words(kStreams).view(), words(kIndices).view(), words(kTokens).view());
      add_to(words_, word_steps_);
      add_to(numbers_, number_steps_);
    });
  } catch (...) {
    cache.end();
    throw;
  }
}

// Writes the step's numbers to the device, unless the step before left them there.
void RecordedSteps::put_places(const KeyValueCache& cache, const TextStep& step) {
  std::vector<int64_t> words;
  std::vector<int32_t> numbers;
  for (const std::vector<int64_t>* each : {&step.tokens, &step.positions, &step.indices, &step.streams}) {
    words.insert(words.end(), each->begin(), each->end());
  }
  for (size_t g = 0; g < cache.groups(); ++g) {
    for (int64_t row = 0; row < count_; ++row) words.push_back(cache.place(g, row).row);
    for (int64_t row = 0; row < count_; ++row) numbers.push_back(static_cast<int32_t>(cache.place(g, row).start));
    for (int64_t row = 0; row < count_; ++row) numbers.push_back(static_cast<int32_t>(cache.place(g, row).length));
  }
  if (words != known_words_) put(words, words_);
  if (numbers != known_numbers_) put(numbers, numbers_);
  known_words_ = std::move(words);
  known_numbers_ = std::move(numbers);
}

std::optional<std::vector<int64_t>> RecordedSteps::run(const Model& model, DecodingState& state, const TextStep& step,
                                                       const SamplingRule& rule) {
  KeyValueCache& cache = state.cache();
  const auto count = static_cast<int64_t>(step.tokens.size());
  const int64_t positions = *std::max_element(step.positions.begin(), step.positions.end()) + 1;
  if (count != count_ || cache.moves() != moves_ || !(rule == rule_) || positions > positions_) forget();
  if (!backend(model.device()).records() || cache.steps() < 1) return std::nullopt;
  if (count_ == 0) {
    const bool first = std::exchange(seen_, count) != count;
    if (first || !prepare(model, state, count, positions)) return std::nullopt;
    moves_ = cache.moves();
    rule_ = rule;
  }
  int64_t longest = 0;
  for (size_t g = 0; g < cache.groups(); ++g) {
    for (int64_t row = 0; row < count; ++row) longest = std::max(longest, cache.place(g, row).length);
  }
  int64_t keys = kFewestKeys;
  while (keys < longest) keys *= 2;
  std::unique_ptr<Recording>& recording = recordings_[keys];
  if (recording == nullptr) recording = record(model, state, keys);
  put_places(cache, step);
  // Until the tokens are here, nobody knows what the device has.
  std::vector<int64_t> now = std::move(known_words_);
  std::vector<int32_t> numbers_now = std::move(known_numbers_);
  known_words_.clear();
  known_numbers_.clear();
  recording->replay();
  std::vector<int64_t> tokens = words(kTokens).to_vector<int64_t>();
  cache.advance();
  const auto n = static_cast<size_t>(count);
  std::copy(tokens.begin(), tokens.end(), now.begin());
  for (size_t i = 0; i < n; ++i) {
    ++now[kPositions * n + i];
    now[kIndices * n + i] += index_step_;
    for (size_t g = 0; g < cache.groups(); ++g) {
      ++now[(kRows + g) * n + i];
      ++numbers_now[(2 * g + 1) * n + i];
    }
  }
  known_words_ = std::move(now);
  known_numbers_ = std::move(numbers_now);
  return tokens;
}

}  // namespace mica
