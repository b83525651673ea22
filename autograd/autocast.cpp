#include "mica/autograd/autocast.h"

#include <utility>

#include "mica/autograd/shape.h"
#include "mica/kernels/backend.h"

namespace mica {
namespace {

thread_local std::optional<DType> forced;

}  // namespace

Autocast::Autocast(std::optional<DType> dtype) : previous_(std::exchange(forced, dtype ? dtype : forced)) {}

Autocast::~Autocast() {
  forced = previous_;
}

DType product_dtype(DType own) {
  return forced.value_or(own);
}

Tensor as_activations(const Tensor& x, DType own) {
  const DType wanted = backend(x.device()).activation_dtype(product_dtype(own));
  return x.dtype() == DType::float32 && item_size(wanted) == 2 ? cast(x, wanted) : x;
}

}  // namespace mica
