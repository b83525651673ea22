#include "mica/models/architectures/network.h"

#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/architectures/decoding.h"

namespace mica {

Tensor Network::pool(const Tensor&, const Rows&) const {
  throw Error("this model has no pooler", "network", "use last_hidden_state");
}

std::unique_ptr<DecodingState> Network::start_decoding(const ModelInputs&, int64_t, int64_t, Device) const {
  return nullptr;
}

bool Network::prepare_steps(DecodingState*, int64_t, Device) const {
  return false;
}

Tensor Network::decode(const Rows&, DecodingState*) const {
  throw Error("this network runs whole texts only", "network", "call forward()");
}

Tensor per_token(const Tensor& values, const Rows& rows) {
  std::vector<int64_t> dims(rows.tokens_shape.begin(), rows.tokens_shape.end());
  dims.push_back(values.size(1));
  return reshape(values, Shape(dims));
}

Tensor first_rows(const Tensor& hidden, const Rows& rows) {
  std::vector<int64_t> index;
  for (int64_t s = 0; s < rows.batch(); ++s) {
    if (rows.offsets.length(s) == 0)
      throw Error("sequence " + std::to_string(s) + " is empty", "model inputs", "give at least one token");
    index.push_back(rows.offsets.begin(s));
  }
  return index_select(hidden, Tensor::from(index).to(rows.device));
}

}  // namespace mica
