#pragma once
// Internal: the layers on sentence vectors that a SentenceTransformer may have behind its pooling. Each is read from
// the folder that modules.json names for it; a missing or wrong key is an Error naming file and key.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mica/base/json.h"
#include "mica/tensor/safetensors.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// A layer on sentence vectors [sentences, size]; differentiable.
class SentenceModule {
 public:
  virtual ~SentenceModule() = default;
  /// "Dense", ...: the last part of its type in modules.json.
  virtual std::string_view kind() const = 0;
  virtual Tensor operator()(const Tensor& x, bool training) const = 0;
  /// The size of the result for vectors of `size`; throws Error where they don't fit.
  virtual int64_t output_size(int64_t size) const = 0;
  /// Under their names in the folder's weights.
  virtual NamedTensors parameters() const { return {}; }
  /// What config.json says.
  virtual Json config() const = 0;
};

/// Dense: y = activation(x · Wᵀ + b), plus x (projected where the sizes differ) with "use_residual". LayerNorm.
/// Dropout, in training. Normalize: rows scaled to length 1. Throws Error for another kind.
std::unique_ptr<SentenceModule> make_sentence_module(std::string_view kind, const std::string& folder, Device device);
std::unique_ptr<SentenceModule> make_normalize();

/// config.json and weights, as make_sentence_module() reads them.
void save(const SentenceModule& module, const std::string& folder);

/// Rows of x [..., size] divided by their Euclidean length; zeros stay.
Tensor normalize_rows(const Tensor& x);

}  // namespace mica
