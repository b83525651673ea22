#include "mica/autograd/adjacent.h"

namespace mica {
namespace {

// Whether the parts lie where the slices of a contiguous tensor would.
bool lie_joined(const std::vector<Tensor>& parts, const std::vector<int64_t>& sizes, int dim, const Shape& shape) {
  int64_t inner = 1;  // elements behind the dimension
  for (int d = dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  for (size_t i = 0; i < parts.size(); ++i) {
    const Tensor& part = parts[i];
    if (!part.defined() || (i > 0 && !follows(parts[i - 1], sizes[i - 1] * inner, part))) return false;
    int64_t stride = 1;
    for (int d = shape.rank(); d-- > 0; stride *= shape[d]) {
      if (part.size(d) > 1 && part.stride(d) != stride) return false;
    }
  }
  return true;
}

}  // namespace

Tensor from_start_of(const Tensor& first, const Shape& shape) {
  const auto bytes = static_cast<const char*>(first.raw_data()) - static_cast<const char*>(first.storage()->data());
  return {first.storage(), bytes / item_size(first.dtype()), shape, first.dtype()};
}

bool follows(const Tensor& before, int64_t elements, const Tensor& next) {
  return before.storage() == next.storage() && before.dtype() == next.dtype() &&
         static_cast<const char*>(before.raw_data()) + elements * item_size(before.dtype()) == next.raw_data();
}

Tensor join_slices(const std::vector<Tensor>& parts, const std::vector<int64_t>& sizes, int dim, const Shape& shape) {
  if (lie_joined(parts, sizes, dim, shape)) return from_start_of(parts[0], shape);
  Tensor whole;
  for (const Tensor& part : parts) {
    if (part.defined() && !whole.defined()) whole = Tensor::empty(shape, part.dtype(), part.device());
  }
  int64_t from = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Tensor target = whole.slice(dim, from, from + sizes[i]);
    if (parts[i].defined()) {
      target.copy_(parts[i]);
    } else {
      target.fill_(0);
    }
    from += sizes[i];
  }
  return whole;
}

}  // namespace mica
