#include "mica/models/generation/greedy.h"

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/models/generation/model_session.h"

namespace mica {
namespace {

// What the decoder of an encoder-decoder starts with.
int64_t start_token(const Config& config) {
  for (const char* key : {"decoder_start_token_id", "bos_token_id"}) {
    if (config.has(key)) return config.integer(key);
  }
  throw Error("neither decoder_start_token_id nor bos_token_id in the config", config.where(), "set one of them");
}

}  // namespace

Tensor greedy(const Model& model, const ModelInputs& inputs, int64_t new_tokens) {
  if (!inputs.input_ids.defined() || inputs.input_ids.rank() != 2) {
    throw Error("no prompt", "generate", "give input_ids [batch, tokens]");
  }
  if (new_tokens < 0) throw Error("a negative number of new tokens", "generate", "ask for 0 or more");
  const NoGrad no_grad;
  const int64_t batch = inputs.input_ids.size(0);
  std::vector<std::vector<int64_t>> next;
  for (int64_t row = 0; row < batch; ++row) {
    next.push_back(model.network().shape().encoder_decoder ? std::vector<int64_t>{start_token(model.config())}
                                                           : inputs.input_ids.select(0, row).to_vector<int64_t>());
  }
  std::vector<std::vector<int64_t>> texts = next;
  ModelSession session(model, inputs, batch, static_cast<int64_t>(next[0].size()) + new_tokens);
  for (int64_t i = 0; i < new_tokens; ++i) {
    const Tensor logits = session.append(next, GenerationSession::Positions::last);
    const std::vector<int64_t> best = logits.argmax(-1).to_vector<int64_t>();
    for (size_t row = 0; row < texts.size(); ++row) {
      next[row] = {best[row]};
      texts[row].push_back(best[row]);
    }
  }
  std::vector<int64_t> flat;
  for (const std::vector<int64_t>& text : texts) flat.insert(flat.end(), text.begin(), text.end());
  return Tensor::from(flat, {batch, static_cast<int64_t>(flat.size()) / batch});
}

}  // namespace mica
