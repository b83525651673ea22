#include "mica/autograd/autocast.h"

#include <utility>

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

}  // namespace mica
