#include "mica/models/virtual_tokens.h"

#include "mica/autograd/activation.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/shape.h"

namespace mica {

std::vector<std::pair<std::string, Tensor>> VirtualTokens::parameters() const {
  std::vector<std::pair<std::string, Tensor>> all{{"prompt_encoder.embedding.weight", embedding}};
  if (weight0.defined()) {
    all.emplace_back("prompt_encoder.transform.0.weight", weight0);
    all.emplace_back("prompt_encoder.transform.0.bias", bias0);
    all.emplace_back("prompt_encoder.transform.2.weight", weight1);
    all.emplace_back("prompt_encoder.transform.2.bias", bias1);
  }
  return all;
}

Tensor VirtualTokens::values() const {
  if (!weight0.defined()) return embedding;
  return linear(activate(linear(embedding, weight0, bias0), Activation::tanh), weight1, bias1);
}

Tensor VirtualTokens::prompt() const {
  return slice(embedding, 0, 0, length);
}

// Rows hold a key, then a value, for each layer. Of an encoder-decoder PEFT lays the row out twice, for the keys and
// values of cross-attention, and gives each layer four in turn, of which the first two are used: layer i has those of
// layer 2i, counted round.
std::shared_ptr<const PrefixStates> VirtualTokens::prefix() const {
  const Tensor rows = reshape(values(), Shape{length, layers * 2, heads, head_dim});
  auto states = std::make_shared<PrefixStates>();
  states->length = length;
  for (int64_t i = 0; i < layers; ++i) {
    const int64_t from = (encoder_decoder ? 4 * i : 2 * i) % (2 * layers);
    states->key_values.emplace_back(select(rows, 1, from), select(rows, 1, from + 1));
  }
  return states;
}

}  // namespace mica
