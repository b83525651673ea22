#pragma once
// Mixed precision: products in a narrow dtype, all else, parameters and gradients among it, as it is (Micikevicius et
// al. 2018).

#include <optional>

#include "mica/kernels/dtype.h"

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

}  // namespace mica
