#pragma once
// Mixed precision: products in a narrow dtype, and, on devices that compute with them so, the activations between;
// parameters, their gradients and losses stay as they are (Micikevicius et al. 2018).

#include <optional>

#include "mica/kernels/dtype.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// While alive, products on this thread have that dtype, whatever the modules that ask for them were made for; without
/// one nothing changes. The backward pass of a product has the dtype that the product had.
class Autocast {
 public:
  explicit Autocast(std::optional<DType> dtype);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  std::optional<DType> previous_;
};

/// That of products here, `own` being their module's.
DType product_dtype(DType own);

/// What enters a network's layers, differentiable: x in the dtype that its device keeps activations in where products
/// are of product_dtype(own); x itself where that is no narrower than float32.
Tensor as_activations(const Tensor& x, DType own);

}  // namespace mica
