// Text going on behind an encoder that reads both ways: the next token's place asks with the mask embedding, and what
// the layers made of earlier tokens is remembered rather than made again, but for the last token's, which then did not
// know the newest one. Yang et al. 2019, after Dai et al. 2019.
#include <algorithm>
#include <utility>

#include "mica/autograd/embedding.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/architectures/decoding.h"
#include "mica/models/architectures/encoder.h"

namespace mica {

struct Encoder::Memory : DecodingState {
  struct Text {
    std::vector<int64_t> ids;
    std::vector<Tensor> states;  // of each layer's input, [remembered, hidden_size]
  };
  std::vector<Text> texts;

  explicit Memory(int64_t batch) : DecodingState(KeyValueCache(0, batch, 1)), texts(static_cast<size_t>(batch)) {}

  void reorder(std::span<const int64_t> rows) override {
    std::vector<Text> next;
    for (const int64_t row : rows) next.push_back(texts[static_cast<size_t>(row)]);
    texts = std::move(next);
  }
  // Tokens that are read again together would see each other: that is another text.
  bool may_truncate(int64_t, int64_t) const override { return true; }
  void truncate(int64_t row, int64_t length) override {
    Text& text = texts[static_cast<size_t>(row)];
    if (length == static_cast<int64_t>(text.ids.size())) return;
    if (length != 0) {
      throw Error("a text cut to " + std::to_string(length) + " tokens", "generate",
                  "this model cannot take tokens back: generate without an assistant");
    }
    text = {};
  }
};

std::unique_ptr<DecodingState> Encoder::start_decoding(const ModelInputs& inputs, int64_t batch, int64_t,
                                                       Device) const {
  if (!mask_embedding_.defined()) return nullptr;
  if (inputs.token_type_ids.defined()) {
    throw Error("token_type_ids", "generate", "this model goes on without segments: leave them out");
  }
  return std::make_unique<Memory>(batch);
}

// The newest tokens of a text, the remembered states before them: the state of the place behind them, [1, hidden_size].
Tensor Encoder::read_on(const std::vector<int64_t>& ids, std::vector<Tensor>* memory) const {
  const auto count = static_cast<int64_t>(ids.size());
  const Tensor words = embedding(word_, Tensor::from(ids));
  Tensor x = cat({words, cast(reshape(mask_embedding_, Shape{1, spec_.hidden_size}), words.dtype())}, 0);
  std::vector<Tensor> next;
  for (const size_t i : layer_of_) {
    const Tensor states = slice(x, 0, 0, count);
    const size_t at = next.size();
    const Tensor keys = memory->empty() ? states : cat({(*memory)[at], states}, 0);
    // The place of the next token is counted as one of the states, and goes first, together with the last token's.
    const int64_t before = keys.size(0) - count;
    const int64_t added = spec_.kept_states > 0 ? std::min(count + 1, spec_.kept_states) : count + 1;
    const int64_t end = std::max<int64_t>(before + added - 2, 0);
    const int64_t begin = spec_.memory > 0 ? std::max<int64_t>(before + added - spec_.memory, 0) : 0;
    next.push_back(slice(keys, 0, std::min(begin, end), end));
    const LayerMixer mix = [&](size_t layer, const Tensor& of) { return attention_->mix_next(layer, of, keys); };
    x = layer(i, x, Rows(), mix);
  }
  *memory = std::move(next);
  return slice(x, 0, count, count + 1);
}

Tensor Encoder::decode(const Rows& rows, DecodingState* state) const {
  if (!rows.input_ids.defined()) throw Error("virtual tokens", "generate", "this model goes on from tokens alone");
  auto& texts = static_cast<Memory*>(state)->texts;
  const std::vector<int64_t> ids = rows.input_ids.to_vector<int64_t>();
  std::vector<Tensor> results;
  for (int64_t s = 0; s < rows.batch(); ++s) {
    Memory::Text& text = texts[static_cast<size_t>(s)];
    const auto begin = ids.begin() + rows.offsets.begin(s);
    const auto end = begin + rows.offsets.length(s);
    for (auto at = begin; at != end;) {
      // The first tokens are read together, and what follows the last of them is all there is to say about them; later
      // ones one by one, each with the one before.
      const bool first = text.ids.empty();
      const auto until = first ? end : at + 1;
      text.ids.insert(text.ids.end(), at, until);
      const auto from = first || text.ids.size() < 2 ? text.ids.begin() : text.ids.end() - 2;
      const Tensor result = read_on({from, text.ids.end()}, &text.states);
      for (; at != until; ++at) results.push_back(result);
    }
  }
  return cat(results, 0);
}

}  // namespace mica
