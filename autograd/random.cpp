#include "mica/autograd/random.h"

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/random.h"

namespace mica {
namespace {

thread_local RandomStream current{0, 0};

Tensor drop(const RandomStream& source, double p, const Tensor& x, const Tensor& y) {
  backend(x.device()).random().dropout(source.seed, source.stream, p, x.contiguous().view(), y.view());
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

Tensor dropout(const Tensor& x, double p) {
  if (!(p >= 0 && p < 1)) throw Error("dropout probability " + std::to_string(p), "dropout", "use 0 <= p < 1");
  if (p == 0) return x;
  const RandomStream source = next_random_stream();
  Tensor y = drop(source, p, x.detach(), Tensor::empty(x.shape(), x.dtype(), x.device()));
  if (wants_grad({&x})) {
    record("dropout", {x}, {y}, [source, p](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {drop(source, p, g[0], reuse_or_new(g[0]))};
    });
  }
  return y;
}

}  // namespace mica
