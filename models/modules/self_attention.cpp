#include "mica/models/modules/self_attention.h"

#include "mica/base/error.h"

namespace mica {

Tensor SelfAttention::mix_next(size_t, const Tensor&, const Tensor&) const {
  throw Error("no place for a next token", "attention", "this model reads whole texts");
}

}  // namespace mica
