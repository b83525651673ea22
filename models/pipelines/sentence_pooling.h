#pragma once
// How a SentenceTransformer makes one vector of a sentence's token vectors.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

enum class PoolingMode : uint8_t { cls, max, mean, mean_sqrt_len, weightedmean, lasttoken };

/// The name in a pooling config: "cls", "mean_sqrt_len_tokens", ...
std::string_view name(PoolingMode mode);

/// Token vectors to one vector a sentence; several modes are concatenated.
class Pooling {
 public:
  explicit Pooling(std::vector<PoolingMode> modes = {PoolingMode::mean}, bool include_prompt = true)
      : modes_(std::move(modes)), include_prompt_(include_prompt) {}
  /// Reads folder/config.json, in the old spelling ("pooling_mode_mean_tokens": true) or the new one ("pooling_mode":
  /// "mean"). `hidden_size` is the transformer's, which the config must repeat.
  static Pooling from_folder(const std::string& folder, int64_t hidden_size);
  /// Writes folder/config.json: in the old spelling, which every version of the reference reads, where that can say it.
  void save(const std::string& folder, int64_t hidden_size) const;

  /// hidden [rows, size], the rows of sentence i at offsets i, to [sentences, modes * size]; differentiable. The first
  /// `prompt_tokens` of each sentence are left out unless include_prompt(). A sentence without tokens gives zeros.
  Tensor operator()(const Tensor& hidden, const SequenceOffsets& offsets, int64_t prompt_tokens = 0) const;

  bool include_prompt() const { return include_prompt_; }
  const std::vector<PoolingMode>& modes() const { return modes_; }

 private:
  std::vector<PoolingMode> modes_;
  bool include_prompt_;
};

}  // namespace mica
