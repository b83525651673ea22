#pragma once
// What a SentenceTransformer folder puts behind its transformer: pooling, then layers on sentence vectors. Each is read
// from the folder that modules.json names for it; a missing or wrong key is an Error naming file and key.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/kernels/activation.h"
#include "mica/models/modules/norm.h"
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

  /// hidden [rows, size], the rows of sentence i at offsets i, to [sentences, modes * size]. The first `prompt_tokens`
  /// of each sentence are left out unless include_prompt(). A sentence without tokens gives zeros.
  Tensor operator()(const Tensor& hidden, const SequenceOffsets& offsets, int64_t prompt_tokens) const;

  bool include_prompt() const { return include_prompt_; }
  const std::vector<PoolingMode>& modes() const { return modes_; }

 private:
  std::vector<PoolingMode> modes_;
  bool include_prompt_;
};

/// A layer on sentence vectors [sentences, size].
class SentenceModule {
 public:
  virtual ~SentenceModule() = default;
  virtual Tensor operator()(const Tensor& x) const = 0;
  /// The size of the result for vectors of `size`; throws Error where they don't fit.
  virtual int64_t output_size(int64_t size) const = 0;
};

/// y = activation(x · Wᵀ + b), plus x (projected where the sizes differ) with "use_residual".
std::unique_ptr<SentenceModule> make_dense(const std::string& folder, Device device);
std::unique_ptr<SentenceModule> make_sentence_layer_norm(const std::string& folder, Device device);
/// Rows scaled to length 1.
std::unique_ptr<SentenceModule> make_normalize();

/// Rows of x [rows, size] divided by their Euclidean length (at least 1e-12).
Tensor normalize_rows(const Tensor& x);

}  // namespace mica
