#pragma once
// Steps of decoding that are recorded once and replayed: the host starts a token of all texts with one call.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mica/kernels/recording.h"
#include "mica/kernels/sampling.h"
#include "mica/models/architectures/decoding.h"
#include "mica/models/auto/model.h"

namespace mica {

/// A step of texts that get one token each.
struct TextStep {
  std::vector<int64_t> tokens, positions;  ///< of each text: the token that it reads, and where it stands
  std::vector<int64_t> streams, indices;   ///< of the number by which its next one is drawn
};

/// Recordings of the step of a batch, one for each range of lengths: their grids hold as many keys as the longest text
/// of the range has. What moves on from step to step (tokens, positions, places in the cache, random numbers) lies in
/// device memory, where a step leaves it ready for the next; the host writes it only when something else came between.
class RecordedSteps {
 public:
  /// By how much a text's index of random numbers grows with a step.
  explicit RecordedSteps(int64_t index_step) : index_step_(index_step) {}

  /// The tokens that come next, as SamplingKernels::choose() gives them; the cache has the step's. Nothing where the
  /// step has to run in the ordinary way: the first of a batch, which prepares what depends on its shapes, one for
  /// which a cache has no room, and all where device or network record none.
  std::optional<std::vector<int64_t>> run(const Model& model, DecodingState& state, const TextStep& step,
                                          const SamplingRule& rule);

 private:
  bool prepare(const Model& model, DecodingState& state, int64_t count, int64_t positions);
  void forget();
  std::unique_ptr<Recording> record(const Model& model, DecodingState& state, int64_t keys);
  void put_places(const KeyValueCache& cache, const TextStep& step);
  Tensor words(size_t part) const;
  Tensor numbers(size_t part) const;

  int64_t index_step_;
  int64_t count_ = 0;      // texts
  int64_t positions_ = 0;  // for which there are tables
  int64_t seen_ = 0;       // texts of the last ordinary step
  uint64_t moves_ = 0;     // of the cache
  SamplingRule rule_;
  Rows rows_;
  std::vector<CacheStep> cache_;
  // Of all texts, part after part: tokens, positions, indices, streams, and of each group of the cache's layers the
  // rows (64 bits), the starts and the lengths (32 bits); and by how much each grows.
  Tensor words_, numbers_, word_steps_, number_steps_;
  std::vector<int64_t> known_words_;  // what lies in words_ and numbers_
  std::vector<int32_t> known_numbers_;
  std::map<int64_t, std::unique_ptr<Recording>> recordings_;  // by keys
};

}  // namespace mica
