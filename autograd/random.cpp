#include "mica/autograd/random.h"

#include "mica/autograd/elementwise.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/random.h"

namespace mica {
namespace {

thread_local RandomStream current{0, 0};

Tensor drop(const Dropout& dropped, const Tensor& x, const Tensor& residual, const Tensor& y) {
  const Tensor other = residual.defined() ? residual.contiguous() : Tensor();
  backend(x.device()).random().dropout(dropped, x.contiguous().view(), other.view(), y.view());
  return y;
}

}  // namespace

void manual_seed(uint64_t seed) {
  current = {seed, 0};
}

RandomStream next_random_stream() {
  return {current.seed, current.stream++};
}

RandomStream random_state() {
  return current;
}

void set_random_state(const RandomStream& state) {
  current = state;
}

Tensor uniform(const Shape& shape, double low, double high, DType dtype, Device device) {
  const Tensor y = Tensor::empty(shape, dtype, device);
  const RandomStream source = next_random_stream();
  backend(device).random().uniform(source.seed, source.stream, low, high, y.view());
  return y;
}

Tensor normal(const Shape& shape, double mean, double deviation, DType dtype, Device device) {
  const Tensor y = Tensor::empty(shape, dtype, device);
  const RandomStream source = next_random_stream();
  backend(device).random().normal(source.seed, source.stream, mean, deviation, y.view());
  return y;
}

Dropout next_dropout(double p) {
  if (!(p >= 0 && p < 1)) throw Error("dropout probability " + std::to_string(p), "dropout", "use 0 <= p < 1");
  if (p == 0) return {};
  const RandomStream source = next_random_stream();
  return {p, source.seed, source.stream};
}

Tensor dropout(const Tensor& x, double p) {
  return p == 0 ? x : dropout_add(x, {}, p);
}

Tensor dropout_add(const Tensor& x, const Tensor& residual, double p) {
  if (p == 0 && residual.defined()) return add(x, residual);
  if (residual.defined() && !(residual.shape() == x.shape() && residual.dtype() == x.dtype()))
    return add(dropout(x, p), residual);
  const Dropout dropped = next_dropout(p);
  check_devices("dropout", {&x, &residual});
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  drop(dropped, x.detach(), residual.defined() ? residual.detach() : Tensor(), y);
  if (wants_grad({&x, &residual})) {
    record("dropout", {x, residual}, {y},
           [dropped, shared = residual.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dx = shared ? Tensor::empty(g[0].shape(), g[0].dtype(), g[0].device()) : reuse_or_new(g[0]);
             return {drop(dropped, g[0], {}, dx), shared ? g[0] : Tensor()};
           });
  }
  return y;
}

}  // namespace mica
