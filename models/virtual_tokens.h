#pragma once
// Virtual tokens that are trained while the model stays as it is: before the text's embeddings (prompt tuning: Lester
// et al. 2021), or as keys and values before those of every layer (prefix tuning: Li and Liang 2021).

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mica/models/prefix.h"
#include "mica/tensor/tensor.h"

namespace mica {

enum class VirtualTokenKind : uint8_t { prompt, prefix };

struct VirtualTokens {
  VirtualTokenKind kind = VirtualTokenKind::prompt;
  int64_t length = 0;
  /// A prompt: [length, token_dim], twice as many rows for an encoder-decoder, whose first half is used. A prefix:
  /// [length, layers * 2 * heads * head_dim], or what the projection makes that of.
  Tensor embedding;
  /// Of a prefix, tanh(embedding · W0ᵀ + b0) · W1ᵀ + b1; undefined: none.
  Tensor weight0, bias0, weight1, bias1;
  /// Of a prefix.
  int64_t layers = 0, heads = 0, head_dim = 0;
  bool encoder_decoder = false;

  /// What is trained, by PEFT's names.
  std::vector<std::pair<std::string, Tensor>> parameters() const;
  /// What PEFT saves: the embedding behind its projection. Differentiable.
  Tensor values() const;
  /// [length, token_dim] of a prompt.
  Tensor prompt() const;
  std::shared_ptr<const PrefixStates> prefix() const;
};

}  // namespace mica
